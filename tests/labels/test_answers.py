"""Files of answers: how each image finds its row, and what is said of a file that does not answer each once."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.labels import columns
from pipeline.labels.answers import Answers, log_probabilities, match, order_of
from pipeline.labels.columns import read_columns
from tests.labels.answered import WHERE, npz, origins, parquet, refused, small

CLASSES = ("cat", "dog")
SPEC = {"data": "d", "seed": 0, "count": 3}
WRITERS = [(npz, "a.npz"), (parquet, "a.parquet")]
TRAIN = np.arange(3)  # the training images of `origins`
Write = Callable[[Path, dict[str, Any]], Path]


def matched(path: Path, views: int = 0, paths: bool = False, classes: tuple[str, ...] = CLASSES) -> Answers:
    return match(read_columns(path, WHERE), origins(paths), classes, views, SPEC, WHERE)


def unmatched(path: Path, **how: Any) -> str:
    with pytest.raises(UserError) as raised:
        matched(path, **how)
    return str(raised.value)


def of_views(count: int, **changes: Any) -> dict[str, Any]:
    """Answers to views 0 .. `count` of each of the seven images."""
    number, view = np.tile(np.arange(7), count + 1), np.repeat(np.arange(count + 1), 7)
    logits = np.random.default_rng(1).normal(size=(len(number), 2)).astype(np.float32)
    return small(number=number, view=view, logits=logits, view_spec=np.array(json.dumps(SPEC)), **changes)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_each_image_finds_its_row_by_its_number(tmp_path: Path, write: Write, name: str) -> None:
    mixed = np.array([3, 6, 0, 2, 5, 1, 4])
    content = small()
    found = matched(
        write(tmp_path / name, {**content, "number": content["number"][mixed], "logits": content["logits"][mixed]})
    )
    assert torch.equal(found.rows(0, TRAIN), torch.from_numpy(content["logits"][[6, 0, 2]]))
    assert torch.equal(found.rows(5, TRAIN), found.rows(0, TRAIN)), "a view has the answer of its clean image"
    assert torch.equal(found.split("test"), torch.from_numpy(content["logits"][[4, 5]]))
    assert found.rows(0, TRAIN).dtype == torch.float32 and (found.unused, found.left_out) == (0, 0)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_each_image_finds_its_row_by_its_path(tmp_path: Path, write: Write, name: str) -> None:
    paths = np.array([f"cat/{number}.png" for number in (7, 6, 5, 4, 3, 2, 1, 0)])
    logits = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    found = matched(write(tmp_path / name, small(number=None, path=paths, logits=logits)), paths=True)
    assert torch.equal(found.rows(0, TRAIN), torch.from_numpy(logits[[1, 7, 5]]))
    assert found.unused == 1, "number 7 was not prepared"


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_each_view_finds_its_own(tmp_path: Path, write: Write, name: str) -> None:
    content = of_views(2)
    found = matched(write(tmp_path / name, content), views=2)
    for v in range(3):
        assert torch.equal(found.rows(v, TRAIN), torch.from_numpy(content["logits"][[7 * v + n for n in (6, 0, 2)]]))
    assert found.unused == 8, "views of validation and test are not asked for"


def test_classes_are_found_by_name_and_others_left_out(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    found = matched(npz(tmp_path / "a.npz", small(logits=logits, classes=np.array(["dog", "emu", "cat"]))))
    assert torch.equal(found.rows(0, TRAIN), torch.from_numpy(logits[np.ix_([6, 0, 2], [2, 0])]))
    assert found.left_out == 1


@pytest.mark.parametrize(
    ("named", "count", "said"),
    [
        (None, 3, "gives 3 numbers a row and the data have 2 classes"),
        (("cat",), 2, "names 1 classes and gives 2 numbers a row"),
        (("cat", "cat"), 2, "names the class 'cat' twice"),
        (("emu", "fox"), 2, "names no class of the data: it has 'emu', 'fox', the data 'cat', 'dog'"),
        (("cat", "fox"), 2, "lacks 1 of the classes of the data ('dog')"),
    ],
)
def test_classes_that_are_not_ours(named: tuple[str, ...] | None, count: int, said: str) -> None:
    with pytest.raises(UserError, match=r".") as raised:
        order_of(named, CLASSES, count, WHERE)
    assert f"{WHERE} {said}" in str(raised.value)


def test_rows_that_are_missing_unknown_doubled_or_not_finite_are_all_named(tmp_path: Path) -> None:
    content = small(number=np.array([0, 1, 2, 2, 9, 5, 6]))
    content["logits"][5, 1] = np.nan
    said = unmatched(npz(tmp_path / "a.npz", content))
    assert f"{WHERE} does not answer each image once: " in said
    assert "2 missing (3, 4), 1 unknown (9), 1 doubled (2), 1 not finite (5)" in said
    assert "an image's number is one of 0 to 7" in said


def test_no_more_than_ten_rows_are_named(tmp_path: Path) -> None:
    numbers = np.arange(100, 115)
    content = small(number=np.concatenate([np.arange(7), numbers]), logits=np.ones((22, 2), np.float32))
    assert f"15 unknown ({', '.join(map(str, numbers[:10]))}, …)" in unmatched(npz(tmp_path / "a.npz", content))


def test_a_view_that_is_missing_is_named_with_its_image(tmp_path: Path) -> None:
    content = of_views(1)
    gone = np.flatnonzero((content["number"] == 2) & (content["view"] == 1))
    content |= {key: np.delete(content[key], gone, axis=0) for key in ("number", "view", "logits")}
    assert "1 missing (2 view 1)" in unmatched(npz(tmp_path / "a.npz", content), views=1)
    content |= {"view": np.where(content["number"] == 4, -1, content["view"])}
    assert "unknown (4 view -1, 4 view -1)" in unmatched(npz(tmp_path / "a.npz", content), views=1)


def test_paths_below_another_folder_are_told_what_would_be_right(tmp_path: Path) -> None:
    content = small(number=None, path=np.array([f"/data/cat/{number}.png" for number in range(7)]))
    said = unmatched(npz(tmp_path / "a.npz", content), paths=True)
    assert "7 missing ('cat/6.png', " in said and "a path is one below data.root, such as 'cat/0.png'" in said
    assert "are no files: name them by `number`" in unmatched(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"view": None}, "has no `view`"),
        ({"view_spec": None}, "does not say in `view_spec` of which views"),
        ({"view_spec": np.array("no JSON")}, "does not say in `view_spec` of which views"),
        ({"view_spec": np.array(json.dumps(SPEC | {"seed": 1}))}, "answers other views (seed is 1, here 0)"),
        ({"view_spec": np.array(json.dumps(SPEC | {"shift": 4}))}, "answers other views (shift is 4, here None)"),
    ],
)
def test_views_that_are_not_ours(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    content = {key: value for key, value in {**of_views(1), **changes}.items() if value is not None}
    if "view" not in content:
        content = small(view_spec=np.array(json.dumps(SPEC)))
    assert said in unmatched(npz(tmp_path / "a.npz", content), views=1)


def test_probabilities_become_their_logarithms_and_zero_stays_finite(tmp_path: Path) -> None:
    p_RC = np.tile(np.array([[0.25, 0.75]]), (7, 1))
    p_RC[0] = [0.0, 1.0]
    found = matched(npz(tmp_path / "a.npz", small(logits=None, probabilities=p_RC)))
    torch.testing.assert_close(found.rows(0, TRAIN).softmax(1), torch.tensor([[0.25, 0.75], [0, 1], [0.25, 0.75]]))
    assert found.rows(0, TRAIN).isfinite().all()
    assert (log_probabilities(np.array([[0.0]])) < -80).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"logits": None, "probabilities": np.ones((7, 2))}, "probabilities that are not 0 or more and 1 in all"),
        ({"logits": None, "probabilities": np.tile([[-0.5, 1.5]], (7, 1))}, "probabilities that are not 0 or more"),
        (
            {"logits": np.tile([[0.25, 0.75]], (8, 1)), "number": np.arange(8)},
            "logits that are 0 or more and 1 in all, as in all others, in the row of 0: call them probabilities",
        ),
    ],
)
def test_logits_and_probabilities_are_not_taken_for_each_other(tmp_path: Path, changes: Any, said: str) -> None:
    assert said in unmatched(npz(tmp_path / "a.npz", small(**changes)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"logits": None}, "has none of logits and probabilities: give exactly one"),
        ({"probabilities": np.ones((7, 2))}, "has logits and probabilities of logits and probabilities"),
        ({"path": np.array(["a"] * 7)}, "has path and number of path and number"),
        ({"number": None}, "has none of path and number"),
        ({"number": np.arange(6)}, "has 6 of number and 7 of logits"),
        ({"view": np.zeros(6, int)}, "has 6 of view and 7 of logits"),
        ({"number": np.arange(7.0)}, "has number of float64 (7,): they must be whole numbers in one row"),
        ({"logits": np.zeros((7, 2), int)}, "has logits of int64 (7, 2): they must be floats"),
        ({"logits": np.zeros(7)}, "has logits of float64 (7,): they must be floats"),
        ({"classes": np.arange(2)}, "has classes of int64 (2,): they must be text"),
        ({"logit": np.zeros(1)}, "holds 'logit', did you mean 'logits'?"),
    ],
)
def test_columns_of_another_kind(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert f"{WHERE} {said}" in refused(npz(tmp_path / "a.npz", small(**changes)))


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path(tmp_path / "ran").touch, ()

    path = tmp_path / "a.npz"
    npz(path, small(path=None, number=np.array([Bomb()] * 7, dtype=object)))
    assert "is no whole .npz file of plain arrays (Object arrays cannot be loaded" in refused(path)
    path.write_bytes(pickle.dumps(Bomb()))
    assert "is no whole .npz file of plain arrays" in refused(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_whole(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", small())
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:cut])
        assert "is no whole .npz file of plain arrays" in refused(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    path.write_bytes((tmp_path / "one.npy").read_bytes())
    assert "it holds one array without a name" in refused(path)
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    path.write_bytes(bytes(middle))
    assert "is no whole .npz file" in refused(path), "its checksum is another"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("logits.npy", b"no array")
    assert WHERE in refused(path)


def test_a_value_that_is_damaged_is_not_taken(tmp_path: Path) -> None:
    """Which is mapped, after it was compared with its checksum."""
    content = small()
    path = npz(tmp_path / "a.npz", content)
    whole = bytearray(path.read_bytes())
    whole[whole.index(content["logits"].tobytes()) + 5] ^= 1
    path.write_bytes(whole)
    assert "is no whole .npz file of plain arrays (Bad CRC-32" in refused(path)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_pieces_of_any_size_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, probabilities: bool
) -> None:
    content = of_views(2)
    if probabilities:
        p_RC = np.random.default_rng(2).dirichlet([1, 1], len(content["number"]))
        content = {key: value for key, value in content.items() if key != "logits"} | {"probabilities": p_RC}
    write(tmp_path / "a.npz", **content)
    whole = matched(tmp_path / "a.npz", views=2)
    before = [whole.rows(v, TRAIN) for v in range(3)]
    for size in (1, 2, 5):
        monkeypatch.setattr("pipeline.labels.answers.AT_ONCE", size)
        found = matched(tmp_path / "a.npz", views=2)
        assert all(torch.equal(found.rows(v, TRAIN), z_NC) for v, z_NC in enumerate(before))
        assert torch.equal(found.split("test"), whole.split("test"))


def test_a_name_that_ends_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    assert "its name must end in .npz or .parquet" in refused(tmp_path / "a.csv")


def test_parquet_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert "needs pyarrow: install it with `pip install -e '.[parquet]'`, or write an .npz file" in refused(
        tmp_path / "a.parquet"
    )
    extras = (Path(columns.__file__).parents[2] / "pyproject.toml").read_text()
    assert 'parquet = ["pyarrow' in extras


def test_parquet_that_is_not_whole_or_ragged(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", small())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is no whole Parquet file" in refused(path)
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"number": [0, 1], "logits": [[1.0], [1.0, 2.0]]}), path)
    assert "has logits of 1 and of 2 numbers" in refused(path)
    pq.write_table(pa.table({"number": [0, None], "logits": [[1.0], [2.0]]}), path)
    assert "has rows without number" in refused(path)
    pq.write_table(pa.table({"number": [0, 1], "logits": [[1.0], [None]]}), path)
    assert "1 not finite (1)" in unmatched(path, classes=("cat",))
    table = pa.table({"number": [0], "logits": [[1.0]]}).replace_schema_metadata({"classes": "{"})
    pq.write_table(table, path)
    assert "classes in its metadata that are no JSON list" in refused(path)


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **small())
    assert matched(tmp_path / "a.npz").unused == 0
