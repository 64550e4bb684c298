"""DVC's cache and its list of runs, read without DVC."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml

from pipeline.dvc.run_cache import PROTECTED, RunCache


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def put(root: Path, content: bytes, suffix: str = "") -> str:
    """Put a file into the cache; its hash."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    path = root / "files" / "md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(PROTECTED)
    return md5


def record(root: Path, key: str, read: dict[str, str], left: dict[str, str], name: str = "1", age: float = 0.0) -> None:
    path = root / "runs" / key[:2] / key / name
    path.parent.mkdir(parents=True, exist_ok=True)
    deps, outs = ([{"path": path, "md5": md5} for path, md5 in each.items()] for each in (read, left))
    path.write_text(yaml.safe_dump({"cmd": "do it", "deps": deps, "outs": outs}))
    os.utime(path, (1e9 - age, 1e9 - age))


def test_a_folder_is_there_only_with_all_its_files(root: Path) -> None:
    one, other = put(root, b"one"), put(root, b"other")
    listed = [{"relpath": "a", "md5": one}, {"relpath": "b", "md5": other}]
    folder = put(root, json.dumps(listed).encode(), ".dir")
    held = RunCache(root)
    assert held.holds(one) and held.holds(folder)
    (root / "files" / "md5" / other[:2] / other[2:]).unlink()
    assert not held.holds(other) and not held.holds(folder)
    assert held.whole({"x": one}) == {"x": one}
    assert held.whole({"x": one, "y": other}) is None
    assert held.whole({"x": one, "y": None}) is None, "what is not recorded cannot be brought back"
    assert RunCache(None).whole({"x": one}) is None


def test_of_a_key_the_newest_run_counts(root: Path) -> None:
    old, new = put(root, b"old"), put(root, b"new")
    record(root, "abcd", {"i": "1"}, {"o": old}, "9", age=10)
    record(root, "abcd", {"i": "1"}, {"o": new}, "1")
    assert RunCache(root).newest("abcd") == {"o": new}
    (root / "files" / "md5" / new[:2] / new[2:]).unlink()
    assert RunCache(root).newest("abcd") is None
    assert RunCache(root).newest("other") is None
    (root / "runs/ab/abcd/1").write_text("- {")
    assert RunCache(root).newest("abcd") is None


def test_a_run_fits_where_all_that_is_known_is_what_it_read(root: Path) -> None:
    left = {"o": put(root, b"left")}
    record(root, "abcd", {"i": "1", "j": "2"}, left)
    held = RunCache(root)
    assert held.any_fits("do it", {"i": "1", "j": "2"})
    assert held.any_fits("do it", {"i": "1", "j": None})
    assert not held.any_fits("do it", {"i": "2", "j": None})
    assert not held.any_fits("do it", {"i": "1"}), "it read something else, too"
    assert not held.any_fits("do that", {"i": "1", "j": None})
    (root / "files" / "md5" / left["o"][:2] / left["o"][2:]).unlink()
    assert not held.any_fits("do it", {"i": "1", "j": None})
    assert not RunCache(None).any_fits("do it", {})
    (root / "runs/ab/abcd/1").write_text("- {1")
    assert not RunCache(root).any_fits("do it", {"i": "1", "j": None})
