"""What goes to the remote and comes from it, and what the driver records of it."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.dvc import travel
from tests.engines.small_graph import STAGES, Graph, create

# Of a library of DVC's.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return create(tmp_path, monkeypatch)


def test_the_remote_is_that_which_all_machines_know(graph: Graph) -> None:
    assert travel.remote() == graph.remote, "its folder as an absolute path"
    Path(".dvc/config.local").write_text("['remote \"common\"']\n    url = /elsewhere/mine\n")
    with pytest.raises(UserError, match=r"^the remote's folder /elsewhere/mine is not on .+: make it"):
        travel.remote()
    Path(".dvc/config.local").write_text("['remote \"mine\"']\n    url = ../../remote\n[core]\n    remote = mine\n")
    assert travel.remote() == graph.remote
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(UserError, match=r"^\.dvc/config has no default remote, by which machines exchange"):
        travel.remote()
    Path(".dvc/config").write_text("[core]\n    remote = mine\n")
    with pytest.raises(UserError, match=r"^\.dvc/config has no url of the remote 'mine'"):
        travel.remote()


def test_what_is_outdated_and_what_is_lost(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "last")
    others = {"slow", "wrong"}
    assert travel.outdated() - {"plan"} == others, "which never ran"
    for name in ("first", "second"):
        graph.scratch.run("rm", "-r", name)
    assert travel.outdated() - {"plan"} == others, "what does not lie here is taken for what is recorded"
    Path("third").unlink()
    Path("third").write_text("mine")
    assert travel.outdated() - {"plan"} == {"third", "last"} | others, "what lies here and is another is not"
    Path("third").unlink()
    lock = graph.lock
    lock["first"]["outs"][0]["md5"] = "0" * 32
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))
    assert travel.outdated() - {"plan"} == {"second", "third"} | others, "they read another one"

    assert travel.offer(["prepare", "third", "first"]) == {"first"}, "of which nobody has what is recorded"
    shutil.rmtree(".dvc/cache")
    assert travel.offer(["prepare", "third", "second"]) == {"second"}, "the others are in the remote by now"


def test_a_run_elsewhere_is_recorded_as_dvc_would_and_what_is_old_here_goes(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "third")
    text, entry = Path("dvc.lock").read_text(), graph.lock["third"]
    graph.give("third", 2)
    graph.scratch.run("dvc", "repro", "third")
    newer = Path("dvc.lock").read_text()
    assert newer != text
    travel.merge({"third": entry})
    assert graph.lock["third"] == entry and not Path("third").exists()
    assert Path("first").exists() and Path("prepare").exists()
    graph.give("third", 1)
    graph.scratch.run("dvc", "repro", "third")
    assert Path("dvc.lock").read_text() == text, "byte for byte"
    assert graph.names.count("third") == 2


def test_a_stage_that_is_another_one_by_now_is_not_recorded(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "third")
    before = graph.lock
    stages = {**STAGES, "third": {**STAGES["third"], "deps": ["first"]}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    with pytest.raises(UserError, match=r"^third is another stage in dvc.yaml than the one that was run"):
        travel.merge({"third": before["third"]})
    assert graph.lock == before
