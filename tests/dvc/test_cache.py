"""DVC's cache, made by hand: a file is found by its hash, also within a folder, and the last result of a node in it."""

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.dvc import cache, previous_run


def put(root: Path, content: str) -> str:
    """Keep a text as DVC does; return its hash."""
    md5 = hashlib.md5(content.encode()).hexdigest()
    path = root / "files" / "md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return md5


def test_a_file_is_found_by_itself_and_in_a_folder_at_any_depth(tmp_path: Path) -> None:
    listed = [{"relpath": "members/1.json", "md5": put(tmp_path, "one")}]
    outs = {"a.json": put(tmp_path, "alone"), "metrics/mutual": put(tmp_path, json.dumps(listed))}
    assert cache.read(tmp_path, outs, "a.json") == "alone"
    assert cache.read(tmp_path, outs, "metrics/mutual/members/1.json") == "one"
    assert cache.read(tmp_path, outs, "metrics/mutual/members/2.json") is None
    assert cache.read(tmp_path, outs, "b.json") is None
    assert cache.read_json(tmp_path, outs, "a.json") is None, "it is no JSON"


def test_the_last_result_of_a_node_is_its_metrics_and_its_median_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    root = tmp_path / ".dvc" / "cache"
    assert cache.folder() == root
    metrics = {"test": {"accuracy": 0.5}, "cost": {"training_seconds": 3.0}}
    curve = "epoch,images_per_second\n" + "".join(f"{n},{speed}\n" for n, speed in enumerate((10, 400, 300)))
    outs = {
        "metrics/refinery/g1.json": put(root, json.dumps(metrics)),
        "curves/refinery/g1.csv": put(root, curve),
    }
    lines = "".join(f"    - path: {path}\n      md5: {md5}\n" for path, md5 in outs.items())
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n  refinery@g1:\n    outs:\n{lines}")
    assert previous_run.read("refinery/g1") == previous_run.PreviousRun(metrics, 300.0, same_data=False)
    assert previous_run.read("refinery/g2") is None
