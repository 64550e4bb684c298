"""The last result of a node is found in DVC's cache, also after DVC has deleted the node."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pipeline.dvc import cache, lock, previous_run
from tests.scratch import Scratch


@pytest.mark.parametrize(("name", "source"), [("student", "student"), ("mutual", "mutual/members/1")])
def test_what_was_reached_before_is_found(
    copied: Scratch, monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    monkeypatch.chdir(copied.folder)
    wanted = json.loads((copied.folder / f"metrics/{source}.json").read_text())
    shutil.rmtree("metrics")
    shutil.rmtree("curves")
    found = previous_run.read(name)
    assert found is not None
    assert found.metrics == wanted
    assert found.images_per_second and found.images_per_second > 0
    assert [network["size"] for network in found.networks] == [8] * (2 if name == "mutual" else 1)
    assert found.same_data
    record = Path("dvc.lock").read_text()
    prepared = lock.read_stages(Path("dvc.lock"), ["prepare"]).outs["artifacts/data"]
    own = re.search(rf"^  {name}:\n(?:    .*\n)*", record, re.MULTILINE)
    assert own
    other = record.replace(own[0], own[0].replace(prepared, prepared[::-1]))
    Path("dvc.lock").write_text(other)
    found = previous_run.read(name)
    assert found is not None and not found.same_data


@pytest.mark.parametrize("name", ["refinery/g4", "method/dkd", "method/nothing"])
def test_a_node_that_trained_nothing_has_none(lineage: Scratch, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(lineage.folder)
    assert previous_run.read(name) is None


def test_without_a_cache_there_is_none(fresh: Scratch, copied: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fresh.folder)
    assert previous_run.read("student") is None, "nothing has run"
    monkeypatch.chdir(copied.folder)
    shutil.rmtree(".dvc/cache/files")
    assert previous_run.read("student") is None


def test_a_dvc_lock_that_is_just_being_written_is_no_error(lineage: Scratch, tmp_path: Path) -> None:
    """Other stages end beside this one, and DVC writes their records in place."""
    content = (lineage.folder / "dvc.lock").read_text()
    whole = lock.read_stages(lineage.folder / "dvc.lock", ["student"]).outs
    assert len(whole) == 3
    record = re.search(r"^  student:\n(?:    .*\n)*", content, re.MULTILINE)
    assert record
    cut = tmp_path / "dvc.lock"
    for end in range(*record.span(), 5):
        cut.write_text(content[:end])
        found = lock.read_stages(cut, ["student"]).outs
        assert all(md5 in ("", whole[path]) for path, md5 in found.items())


def test_files_in_the_cache_are_found_by_path(
    lineage: Scratch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(lineage.folder)
    root = cache.folder()
    assert root is not None
    assert cache.read(root, {}, "metrics/student.json") is None
    assert cache.read(tmp_path, {"metrics/student.json": "ab12"}, "metrics/student.json") is None
    monkeypatch.chdir(tmp_path)
    assert cache.folder() is None
