"""What goes between a workspace and the remote, beyond what a stage on a machine shows."""

from pathlib import Path

import dvc.fs
import pytest
import yaml
from dvc.fs import get_cloud_fs

from pipeline.base.errors import UserError
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


def test_dvc_lock_is_written_as_dvc_writes_it(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "third")
    path, written = Path("dvc.lock"), Path("dvc.lock").read_text()
    entries = graph.entries("plan", "first", "third")
    for name, entry in entries.items():
        travel.merge(name, entry, planned=True)
        assert path.read_text() == written, "in its place"
    path.write_text(written.partition("  third:\n")[0])
    travel.merge("third", entries["third"], planned=True)
    assert path.read_text() == written, "at the end"
    path.unlink()
    for name in [*yaml.safe_load(written)["stages"]]:
        travel.merge(name, yaml.safe_load(written)["stages"][name], planned=False)
    assert path.read_text() == written, "as the first"


def test_what_lies_here_of_an_older_run_is_removed(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "third")
    entry = graph.entries("third")["third"]
    travel.merge("third", entry, planned=True)
    assert Path("third").exists(), "it is what was recorded"
    (out,) = entry["outs"]
    travel.merge("third", {**entry, "outs": [{**out, "md5": "0" * 32}]}, planned=True)
    assert not Path("third").exists() and Path("first").exists()


def test_a_stage_that_is_another_by_now_is_not_recorded(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "third")
    before, entry = Path("dvc.lock").read_bytes(), graph.entries("third")["third"]
    Path("third").unlink()  # as after a run on a machine: nothing of it lies here
    stages = yaml.safe_load(Path("dvc.yaml").read_text())
    stages["stages"]["third"]["cmd"] = "cat first > third"
    Path("dvc.yaml").write_text(yaml.safe_dump(stages))
    with pytest.raises(UserError, match=r"^third is another stage in dvc\.yaml than the one that was run: "):
        travel.merge("third", entry, planned=False)
    assert Path("dvc.lock").read_bytes() == before


def test_a_stage_takes_two_clients_of_the_remote_and_an_offer_one(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.share("prepare", "plan")
    graph.scratch.run("rm", "-r", ".dvc/cache", "prepare")
    made = []
    monkeypatch.setattr(
        dvc.fs, "get_cloud_fs", lambda *a, **k: ("name" in k and made.append(1)) or get_cloud_fs(*a, **k)
    )
    assert travel.bring_about("first")
    assert Path("prepare").exists() and len(made) == 2, "one before the stage, one after"
    assert travel.offer(["prepare", "first"]) == set() and len(made) == 3


def test_of_a_folder_that_lacks_a_file_nothing_goes_until_it_is_whole(graph: Graph) -> None:
    """Where the remote has a folder's list, DVC takes it to have all of its files."""
    two = {"cmd": "mkdir two && echo 1 > two/a && echo 2 > two/b", "deps": ["given/first.json"], "outs": ["two"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"two": two}}))
    graph.scratch.run("dvc", "repro", "two")
    (kept,) = [path for path in Path(".dvc/cache/files/md5").rglob("*") if path.is_file() and path.read_text() == "1\n"]
    content = kept.read_bytes()
    kept.unlink()
    assert travel.offer(["two"]) == travel.offer(["two"]) == {"two"}
    assert not (Path(graph.remote.url) / "files").exists()
    kept.write_bytes(content)
    assert travel.offer(["two"]) == set()
    graph.scratch.run("rm", "-r", ".dvc/cache", "two")
    graph.scratch.run("dvc", "pull", "--no-run-cache", "two")


def test_what_is_whole_nowhere_is_told_and_all_else_goes_to_the_remote(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "second", "third")
    graph.scratch.run("dvc", "push", "prepare")
    (lost,) = graph.entries("first")["first"]["outs"]
    Path(".dvc/cache/files/md5", lost["md5"][:2], lost["md5"][2:]).unlink()
    (there,) = graph.entries("prepare")["prepare"]["outs"]
    Path(".dvc/cache/files/md5", there["md5"][:2], there["md5"][2:]).unlink()
    assert travel.offer(["prepare", "first", "second", "third"]) == {"first"}
    remote = Path(graph.remote.url)
    assert not (remote / "files/md5" / lost["md5"][:2] / lost["md5"][2:]).exists()
    graph.scratch.run("rm", "-r", ".dvc/cache", "second", "third")
    graph.scratch.run("dvc", "pull", "--no-run-cache", "second", "third", "prepare")
