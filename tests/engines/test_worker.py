"""A stage on a machine that has nothing but code and a remote: what it leaves, and what a person reads."""

import fcntl
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines import worker
from pipeline.engines.worker import Ended, Errand
from pipeline.engines.workspace import home
from tests.engines.small_graph import Graph, create


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Where `prepare` has run, too."""
    found = create(tmp_path, monkeypatch)
    found.share("prepare", "plan")
    Path("../runs").unlink()
    found.on("a")
    return found


def execute(graph: Graph, stage: str, entries: dict[str, Any], device: str = "cpu") -> Ended:
    return worker.execute(Errand(stage, entries, graph.remote, device, {}), graph.code, lambda: False)


def test_two_machines_leave_what_one_does(graph: Graph) -> None:
    known = graph.entries("plan", "prepare")
    first = execute(graph, "first", known)
    assert (first.status, graph.ran) == (0, [("first", "a")]), first.output
    graph.on("b")
    third = execute(graph, "third", {**known, "first": first.entry})
    assert (third.status, graph.ran) == (0, [("first", "a"), ("third", "b")]), third.output
    assert [*(home() / "work").iterdir()] == [], "a workspace is gone when its stage has ended"
    graph.scratch.run("dvc", "repro", "third")
    assert graph.entries("first", "third") == {"first": first.entry, "third": third.entry}, "as DVC records it"
    assert graph.names == ["first", "third"] * 2


def test_a_stage_reads_the_device_that_the_driver_names_and_the_plan_in_the_cache_stays(graph: Graph) -> None:
    known = graph.entries("plan", "prepare")
    first = execute(graph, "first", known)
    assert execute(graph, "second", {**known, "first": first.entry}, device="cuda").status == 0
    texts = [path.read_text() for path in (home() / "cache").rglob("*") if path.is_file()]
    machine = [text for text in texts if '"state_every"' in text]
    assert sorted('"device": "cuda"' in text for text in machine) == [False, True]
    assert sorted("images" in text for text in machine) == [False, True], "the other one is the plan's own"


def test_what_ran_on_another_machine_is_brought_back_and_not_run_again(graph: Graph) -> None:
    """As where the driver was killed before it knew of the end."""
    known = graph.entries("plan", "prepare")
    before = execute(graph, "first", known)
    graph.on("b")
    after = execute(graph, "first", known)
    assert (after.status, after.entry, graph.ran) == (0, before.entry, [("first", "a")])


def test_what_changed_runs_and_its_record_says_what_it_read(graph: Graph) -> None:
    """DVC's own bookkeeping for the cache of runs would make it look unchanged, and record the new input unread."""
    before = execute(graph, "first", graph.entries("plan", "prepare"))
    graph.give("first", 2)
    graph.share("plan")
    after = execute(graph, "first", {**graph.entries("plan", "prepare"), "first": before.entry})
    assert graph.names == ["first", "first"]
    assert after.entry and before.entry
    for what, place in (("deps", 0), ("outs", 0)):
        assert after.entry[what][place]["md5"] != before.entry[what][place]["md5"]
    graph.scratch.run("dvc", "repro", "first")
    assert graph.lock["first"] == after.entry


def test_what_is_unchanged_is_not_run(graph: Graph) -> None:
    before = execute(graph, "first", graph.entries("plan", "prepare"))
    shutil.rmtree(graph.top / "remote/runs")
    graph.on("b")
    after = execute(graph, "first", {**graph.entries("plan", "prepare"), "first": before.entry})
    assert (after.entry, graph.names) == (before.entry, ["first"])


def test_asked_to_stop_the_stage_saves_and_the_workspace_goes(graph: Graph) -> None:
    errand = Errand("slow", graph.entries("plan"), graph.remote, "cpu", {})
    done = worker.execute(errand, graph.code, lambda: bool(graph.ran))
    assert graph.names == ["slow", "saved"]
    assert done.status != 0 and done.entry is None
    assert "failed to reproduce" not in done.output
    assert [*(home() / "work").iterdir()] == []


def test_a_stage_that_fails_says_why_and_the_remote_has_nothing_of_it(graph: Graph) -> None:
    known = graph.entries("plan", "prepare")
    first = execute(graph, "first", known)
    runs = [*(graph.top / "remote/runs").rglob("*")]
    done = execute(graph, "wrong", {**known, "first": first.entry})
    assert (done.status, done.entry) == (1, None)
    assert "error: it cannot be\n" in done.output
    assert [*(graph.top / "remote/runs").rglob("*")] == runs


def test_what_the_remote_lacks_is_named(graph: Graph) -> None:
    known = graph.entries("plan", "prepare")
    first = execute(graph, "first", known)
    assert first.entry
    md5 = first.entry["outs"][0]["md5"]
    (graph.top / "remote/files/md5" / md5[:2] / md5[2:]).unlink()
    graph.on("b")
    for entries, sentence in (
        ({**known, "first": first.entry}, "third needs first, which the remote does not have as dvc.lock has it"),
        (known, "third needs first, of which dvc.lock has no hash: run first before it"),
    ):
        done = execute(graph, "third", entries)
        assert done.status == 1 and "Traceback" not in done.output
        assert f"error: {sentence}" in done.output
    shutil.rmtree(graph.top / "remote")
    done = execute(graph, "first", known)
    assert done.status == 1 and "Traceback" not in done.output
    assert f"error: the remote's folder {graph.remote.url} is not on " in done.output


def test_what_a_killed_one_left_goes_with_the_next(graph: Graph) -> None:
    left, held = home() / "work/dead", home() / "work/alive"
    for folder in (left, held):
        (folder / "repository").mkdir(parents=True)
        (folder / "lock").touch()
    with (held / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        execute(graph, "first", graph.entries("plan", "prepare"))
        assert [*(home() / "work").iterdir()] == [held]
