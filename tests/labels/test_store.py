import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.base.errors import UserError
from pipeline.base.files import sha256
from pipeline.labels.layout import Format
from pipeline.labels.store import write_header
from tests.labels.folders import CLASSES, COUNT, SPEC, VIEWS, header, logits, opened, write, write_view

DENSE = Format("dense", "float32")
TOPK = Format("topk", "float16", 2)
LOWRANK = Format("lowrank", "float16", 1, 2)


@pytest.fixture(params=[DENSE, TOPK, LOWRANK], ids=lambda format: format.kind)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write(tmp_path / "labels", request.param)
    return tmp_path / "labels"


def change_header(folder: Path, **changes: Any) -> None:
    path = folder / "labels.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def record(folder: Path) -> None:
    """Bring lengths and hashes up to date, as a stranger would who changed a view."""
    paths = sorted(folder.glob("view_*"))
    change_header(folder, files=[{"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths])


def test_what_is_written_is_read_in_any_order(tmp_path: Path) -> None:
    written = write(tmp_path, DENSE)
    labels = opened(tmp_path)
    assert (labels.views, labels.hash) == (VIEWS, written)
    for v in range(VIEWS + 1):
        assert torch.equal(labels.view(v), logits(v))
        for rows_B in (np.array([22, 0, 7, 7]), torch.tensor([3]), torch.randperm(COUNT)):
            found_BC = labels.rows(v, rows_B)
            assert torch.equal(found_BC, logits(v)[rows_B])
            assert found_BC.dtype == torch.float32


def test_rows_are_a_copy_that_may_be_changed(folder: Path) -> None:
    labels = opened(folder)
    before_NC = labels.view(1)
    labels.view(1).zero_()
    labels.rows(1, np.arange(3)).zero_()
    assert before_NC.abs().sum() > 0
    assert torch.equal(labels.view(1), before_NC)


def test_topk_is_dense_again(tmp_path: Path) -> None:
    write(tmp_path, TOPK)
    found_NC = opened(tmp_path).view(1)
    probability_NC = logits(1).softmax(1)
    best_N2 = logits(1).topk(2).indices
    torch.testing.assert_close(
        found_NC.softmax(1).gather(1, best_N2), probability_NC.gather(1, best_N2), rtol=2e-2, atol=1e-4
    )
    assert all(len(row.unique()) == 3 for row in found_NC)  # two kept, two that share the rest


def test_the_files_are_plain_safetensors_in_the_named_types(tmp_path: Path) -> None:
    write(tmp_path, TOPK)
    stored = load_file(tmp_path / "view_000.safetensors")
    assert {name: (str(each.dtype), tuple(each.shape)) for name, each in stored.items()} == {
        "values": ("torch.float16", (COUNT, 2)),
        "indices": ("torch.uint8", (COUNT, 2)),
        "rest": ("torch.float16", (COUNT,)),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "labels.json",
        *(f"view_{v:03}.safetensors" for v in range(VIEWS + 1)),
    ]


def test_equal_logits_give_equal_bytes_whole_or_in_batches(folder: Path, tmp_path: Path) -> None:
    format = opened(folder).header.format
    write(tmp_path / "again", format)
    write_view(tmp_path / "again", 1, iter(logits(1).split(5)), format)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_hash_follows_every_logit(folder: Path) -> None:
    before = opened(folder)
    changed_NC = logits(2)
    changed_NC[4, 0] += 1
    write_view(folder, 2, changed_NC, before.header.format)
    record(folder)
    assert opened(folder).hash != before.hash


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data_hash": "e" * 64}, r"other data \(hash dddddddddddd, here eeeeeeeeeeee\)"),
        ({"views": {**SPEC, "shift": 2}}, r"other views \(shift is 1, here 2\)"),
        ({"views": {**SPEC, "tilt": 3}}, r"other views \(tilt is None, here 3\)"),
        ({"views": {**SPEC, "count": 9}}, r"other views \(count is 23, here 9\)"),
        ({"views": {key: value for key, value in SPEC.items() if key != "flip"}}, r"\(flip is False, here None\)"),
        ({"classes": CLASSES[:3]}, r"other classes \(4 of them, here 3\)"),
        ({"classes": ("cat", "dog", "fox", "emu")}, r"other classes \(number 2 is 'emu', here 'fox'\)"),
    ],
)
def test_labels_of_something_else_are_refused_by_name(folder: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named) as caught:
        opened(folder, **changes)
    assert f"delete the folder {folder} and run `dvc repro`" in str(caught.value)


def test_another_label_set_than_the_recorded_one_is_refused(folder: Path, tmp_path: Path) -> None:
    """Whole in itself, of the same data, views and classes: of a teacher that has changed since."""
    recorded = opened(folder).hash
    write_header(folder, header(opened(folder).header.format, teacher_hash="u" * 64))
    with pytest.raises(UserError, match=r"labels\.json is damaged \(its SHA-256 is not the recorded one\)"):
        opened(folder, recorded=recorded)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("teacher", 3),
        ("teacher_hash", None),
        ("data_hash", []),
        ("classes", []),
        ("classes", [1, 2]),
        ("classes", "abcd"),
        ("count", "23"),
        ("count", 22),
        ("count", True),
        ("views", 1),
        ("views", -1),
        ("view_spec", None),
        ("files", []),
        ("files", [{"bytes": 1, "sha256": "x"}] * 3),
        ("files", [None] * 3),
        ("format", {"kind": "dense", "dtype": "float64", "k": None}),
        ("format", {"kind": "dense", "dtype": "float32", "k": 2}),
        ("format", {"kind": "topk", "dtype": "float32", "k": 4}),
        ("format", {"kind": "topk", "dtype": "float32", "k": None}),
        ("format", {"kind": "topk", "dtype": ["float32"], "k": 1}),
        ("format", {"kind": "topk", "dtype": "float32", "k": 1, "more": 1}),
        ("format", {"kind": "topk", "dtype": "float32", "k": 2, "rank": 2}),
        ("format", {"kind": "dense", "dtype": "float32", "k": None, "rank": 2}),
        ("format", {"kind": "lowrank", "dtype": "float16", "k": 1, "rank": 4}),
        ("format", {"kind": "lowrank", "dtype": "float16", "k": 1, "rank": None}),
        ("format", {"kind": "lowrank", "dtype": "float16", "k": None, "rank": 2}),
        ("format", {"kind": "sparse", "dtype": "float16", "k": 1, "rank": 2}),
        ("format", None),
        ("basis", {"bytes": 1}),
        ("basis", None),
        ("more", 1),
    ],
)
def test_a_header_that_is_not_one_is_refused(folder: Path, key: str, value: object) -> None:
    change_header(folder, **{key: value})
    with pytest.raises(UserError, match=r"labels\.json (has|is not)"):
        opened(folder)


def test_low_rank_labels_come_back_and_have_their_basis_beside_them(tmp_path: Path) -> None:
    write(tmp_path, LOWRANK)
    stored = load_file(tmp_path / "view_001.safetensors")
    assert {name: (str(each.dtype), tuple(each.shape)) for name, each in stored.items()} == {
        "values": ("torch.float16", (COUNT, 1)),
        "indices": ("torch.uint8", (COUNT, 1)),
        "coefficients": ("torch.int8", (COUNT, 2)),
    }
    basis = load_file(tmp_path / "basis.safetensors")
    assert {name: (str(each.dtype), tuple(each.shape)) for name, each in basis.items()} == {
        "basis": ("torch.float32", (2, len(CLASSES))),
        "mean": ("torch.float32", (len(CLASSES),)),
    }
    found_NC = opened(tmp_path).view(1)
    assert torch.equal(found_NC.argmax(1), logits(1).argmax(1))
    assert (found_NC - logits(1)).square().mean() < 0.5 * logits(1).var()
    header = json.loads((tmp_path / "labels.json").read_text())
    assert header["format"] == {"kind": "lowrank", "dtype": "float16", "k": 1, "rank": 2}
    assert header["basis"]["sha256"] == sha256(tmp_path / "basis.safetensors")


def test_headers_of_other_forms_are_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, TOPK)
    header = json.loads((tmp_path / "labels.json").read_text())
    assert header["format"] == {"kind": "topk", "dtype": "float16", "k": 2}
    assert {"basis", "input"}.isdisjoint(header)


def test_a_basis_that_is_missing_cut_or_changed_is_named(tmp_path: Path) -> None:
    write(tmp_path, LOWRANK)
    path = tmp_path / "basis.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=rf"basis.safetensors has {len(content) - 1} bytes and not {len(content)}"):
        opened(tmp_path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"basis.safetensors is damaged .*delete the folder .* `dvc repro`"):
        opened(tmp_path).view(1)
    path.unlink()
    with pytest.raises(UserError, match=r"basis.safetensors is missing: delete the folder"):
        opened(tmp_path)


@pytest.mark.parametrize("schema", [0, 2, None])
def test_a_header_of_another_version_is_refused_with_what_to_run(folder: Path, schema: int | None) -> None:
    change_header(folder, schema=schema)
    with pytest.raises(UserError, match=rf"labels\.json is of schema {schema} .* reads schema 1: run `dvc repro`"):
        opened(folder)


@pytest.mark.parametrize("content", ["", "[]", "3", "{", "null", '{"schema": 1}'])
def test_a_header_that_is_damaged_is_refused(folder: Path, content: str) -> None:
    (folder / "labels.json").write_text(content)
    with pytest.raises(UserError, match=r"labels\.json"):
        opened(folder)


def test_a_folder_without_header_is_not_complete(folder: Path) -> None:
    (folder / "labels.json").unlink()
    with pytest.raises(UserError, match=r"labels\.json is missing: run `dvc repro`"):
        opened(folder)


def test_a_missing_or_truncated_view_is_found_at_once(folder: Path) -> None:
    path = folder / "view_002.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=rf"view_002.safetensors has {len(content) - 1} bytes and not {len(content)}"):
        opened(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"view_002.safetensors is missing: delete the folder"):
        opened(folder)


def test_a_flipped_byte_anywhere_is_found_before_it_teaches(folder: Path) -> None:
    path = folder / "view_001.safetensors"
    content = path.read_bytes()
    for position in (0, 3, 20, len(content) // 2, len(content) - 1):
        flipped = bytearray(content)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        labels = opened(folder)
        labels.view(2)
        with pytest.raises(UserError, match=r"view_001.safetensors is damaged .*delete the folder .* `dvc repro`"):
            labels.rows(1, np.array([0]))


def test_the_file_is_mapped_and_checked_once(folder: Path) -> None:
    labels = opened(folder)
    first_NC = labels.view(1)
    shutil.rmtree(folder)
    assert torch.equal(labels.view(1), first_NC)


@pytest.mark.parametrize("v", [-1, VIEWS + 1])
def test_a_view_that_is_not_there_is_named(folder: Path, v: int) -> None:
    with pytest.raises(UserError, match=rf"view {v} of .* holds 0 to {VIEWS}: raise labels.views"):
        opened(folder).rows(v, np.array([0]))


def test_a_stranger_cannot_point_outside_the_classes(tmp_path: Path) -> None:
    write(tmp_path, TOPK)
    path = tmp_path / "view_001.safetensors"
    stored = load_file(path)
    stored["indices"][5, 1] = len(CLASSES)
    save_file(stored, path)
    record(tmp_path)
    with pytest.raises(UserError, match="names classes that are not there"):
        opened(tmp_path).view(1)
