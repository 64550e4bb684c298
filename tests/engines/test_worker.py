"""A stage on a machine that has nothing but code and a remote: what it leaves, and what a person reads."""

import fcntl
import hashlib
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
    found = create(tmp_path, monkeypatch)
    found.on("a")
    return found


def execute(graph: Graph, stage: str, entries: dict[str, Any], device: str = "cpu") -> Ended:
    return worker.execute(Errand(stage, entries, graph.remote, device, {}), graph.code, lambda: False)


def test_two_machines_leave_what_one_does(graph: Graph) -> None:
    plan = {"plan": graph.lock["plan"]}
    first = execute(graph, "first", plan)
    assert (first.status, graph.ran) == (0, ["first"]), first.output
    graph.on("b")
    second = execute(graph, "second", {**plan, "first": first.entry})
    assert (second.status, graph.ran) == (0, ["first", "second"]), second.output
    assert [*(home() / "work").iterdir()] == [], "a workspace is gone when its stage has ended"
    content = (home() / "cache/files/md5" / _path(graph, "plan/machine.json")).read_text()
    assert '"auto"' in content, "what the stage is told of the device is not in the cache under the plan's hash"

    graph.scratch.run("dvc", "repro", "first")
    assert graph.lock["first"] == first.entry, "and DVC records the same"
    graph.scratch.run("dvc", "repro", "second")
    assert _less_machine(graph.lock["second"]) == _less_machine(second.entry)


def _path(graph: Graph, path: str) -> str:
    """Where a cache has a file of the plan."""
    md5 = hashlib.md5((graph.scratch.folder / path).read_bytes()).hexdigest()
    return f"{md5[:2]}/{md5[2:]}"


def _less_machine(entry: Any) -> Any:
    """Of `second`, which shows what it was told of the machine: all but its output."""
    return {**entry, "outs": [out["path"] for out in entry["outs"]]}


def test_a_stage_reads_the_device_that_the_driver_names(graph: Graph) -> None:
    plan = {"plan": graph.lock["plan"]}
    first = execute(graph, "first", plan)
    done = execute(graph, "second", {**plan, "first": first.entry}, device="cuda")
    assert done.entry
    graph.scratch.run("dvc", "pull", "plan")
    listed = done.entry["outs"][0]["md5"]
    found = [*(graph.top / "remote/files/md5").rglob("*")]
    assert any(path.is_file() and '"device": "cuda"' in path.read_text() for path in found), listed


def test_what_ran_on_another_machine_is_brought_back_and_not_run_again(graph: Graph) -> None:
    """As where the driver was killed before it knew of the end."""
    plan = {"plan": graph.lock["plan"]}
    before = execute(graph, "first", plan)
    graph.on("b")
    after = execute(graph, "first", plan)
    assert (after.status, after.entry, graph.ran) == (0, before.entry, ["first"])


def test_what_changed_runs_and_its_record_says_what_it_read(graph: Graph) -> None:
    """DVC's own bookkeeping for the cache of runs would make it look unchanged, and record the new input unread."""
    before = execute(graph, "first", {"plan": graph.lock["plan"]})
    graph.give("first", "2")
    after = execute(graph, "first", {"plan": graph.lock["plan"], "first": before.entry})
    assert graph.ran == ["first", "first"]
    assert after.entry and before.entry
    assert after.entry["deps"][0]["md5"] != before.entry["deps"][0]["md5"]
    assert after.entry["outs"][0]["md5"] == hashlib.md5(b"22").hexdigest()


def test_what_is_unchanged_is_not_run(graph: Graph) -> None:
    before = execute(graph, "first", {"plan": graph.lock["plan"]})
    shutil.rmtree(graph.top / "remote/runs")
    graph.on("b")
    after = execute(graph, "first", {"plan": graph.lock["plan"], "first": before.entry})
    assert (after.entry, graph.ran) == (before.entry, ["first"])


def test_asked_to_stop_the_stage_saves_and_the_workspace_goes(graph: Graph) -> None:
    asked = False

    def stop_asked() -> bool:
        nonlocal asked
        asked = asked or "begun" in graph.ran
        return asked

    errand = Errand("slow", {"plan": graph.lock["plan"]}, graph.remote, "cpu", {})
    done = worker.execute(errand, graph.code, stop_asked)
    assert graph.ran == ["begun", "saved"]
    assert done.status != 0 and done.entry is None
    assert "failed to reproduce" not in done.output
    assert [*(home() / "work").iterdir()] == []


def test_a_stage_that_fails_says_why_and_the_remote_has_nothing_of_it(graph: Graph) -> None:
    done = execute(graph, "wrong", {"plan": graph.lock["plan"]})
    assert (done.status, done.entry) == (1, None)
    assert "error: it cannot be\n" in done.output
    assert not (graph.top / "remote/runs").exists()


def test_what_the_remote_lacks_is_named(graph: Graph) -> None:
    first = execute(graph, "first", {"plan": graph.lock["plan"]})
    assert first.entry
    md5 = first.entry["outs"][0]["md5"]
    (graph.top / "remote/files/md5" / md5[:2] / md5[2:]).unlink()
    graph.on("b")
    done = execute(graph, "second", {"plan": graph.lock["plan"], "first": first.entry})
    assert done.status == 1 and "Traceback" not in done.output
    assert "error: second needs first, which the remote does not have as dvc.lock has it" in done.output
    done = execute(graph, "second", {"plan": graph.lock["plan"]})
    assert "error: second needs first, of which dvc.lock has no hash: run first before it" in done.output
    shutil.rmtree(graph.top / "remote")
    graph.on("c")
    done = execute(graph, "first", {"plan": graph.lock["plan"]})
    assert done.status == 1 and "Traceback" not in done.output
    assert f"error: the remote's folder {graph.remote.url} is not on " in done.output


def test_what_a_killed_one_left_goes_with_the_next(graph: Graph) -> None:
    left, held = home() / "work/dead", home() / "work/alive"
    for folder in (left, held):
        (folder / "repository").mkdir(parents=True)
        (folder / "lock").touch()
    with (held / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        execute(graph, "first", {"plan": graph.lock["plan"]})
        assert [*(home() / "work").iterdir()] == [held]
