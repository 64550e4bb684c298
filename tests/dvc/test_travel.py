"""What goes between a workspace and the remote, beyond what a stage on a machine shows."""

from pathlib import Path

import pytest
import yaml

from pipeline.dvc import travel
from tests.engines.small_graph import Graph, create


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return create(tmp_path, monkeypatch)


def test_all_below_a_folder_is_brought_and_nothing_else(graph: Graph) -> None:
    write = "mkdir -p metrics made && echo 1 > metrics/one.json && echo 2 > made/two"
    stage = {"cmd": write, "deps": ["given/first.json"], "outs": ["metrics/one.json", "made"]}
    never = {"cmd": "exit 1", "deps": ["given/first.json"], "outs": ["metrics/never.json"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"writes": stage, "never": never}}))
    graph.share("writes")
    graph.scratch.run("rm", "-r", ".dvc/cache", "metrics", "made")
    travel.bring(Path("metrics"))
    assert Path("metrics/one.json").read_text() == "1\n"
    assert not Path("made").exists() and not Path("metrics/never.json").exists()


def test_an_experiments_folder_is_not_where_the_path_of_a_remote_begins(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert travel.remote() == graph.remote
    inside = tmp_path / "deep" / "down" / "experiment"
    (inside / ".dvc").mkdir(parents=True)
    (inside / ".dvc/config").write_bytes(Path(".dvc/config").read_bytes())
    (inside / ".dvc/config.local").write_text(f"['remote \"common\"']\n    url = {graph.remote.url}\n")
    monkeypatch.setenv("DVC_ROOT", str(graph.folder))
    monkeypatch.chdir(inside)
    graph.scratch.run("git", "init", "--quiet", str(inside))
    assert travel.remote() == graph.remote
