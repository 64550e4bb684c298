"""A stage on a machine that has nothing but code and a remote: what it leaves, and what a person reads."""

import fcntl
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipeline.engines.machines import Ended, Errand
from pipeline.engines.process import reason
from pipeline.engines.template import Template
from pipeline.engines.workspace import home, part
from tests.engines.small_graph import Graph, create
from tests.scratch import wait


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Where `prepare` has run, too."""
    found = create(tmp_path, monkeypatch)
    found.share("prepare", "plan")
    Path("../runs").unlink()
    found.on("a")
    return found


def execute(graph: Graph, stage: str, entries: dict[str, Any], device: str = "cpu") -> Ended:
    with closing(Template(graph.code)) as template:
        return template.execute(Errand(stage, entries, graph.remote, device, {}), lambda: False)


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
    with closing(Template(graph.code)) as template:
        done = template.execute(errand, lambda: bool(graph.ran))
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
        ({**known, "first": None}, "third needs first, of which dvc.lock has no hash: run first before it"),
    ):
        done = execute(graph, "third", entries)
        assert done.status == 1 and "Traceback" not in done.output
        assert reason(done.output, done.status).startswith(sentence)
    shutil.rmtree(graph.top / "remote")
    done = execute(graph, "first", known)
    assert done.status == 1 and "Traceback" not in done.output
    assert reason(done.output, done.status).startswith(f"the remote's folder {graph.remote.url} is not on ")


def test_what_a_killed_one_left_goes_with_the_next(graph: Graph) -> None:
    left, held = home() / "work/dead", home() / "work/alive"
    for folder in (left, held):
        (folder / "repository").mkdir(parents=True)
        (folder / "lock").touch()
    with (held / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        execute(graph, "first", graph.entries("plan", "prepare"))
        assert [*(home() / "work").iterdir()] == [held]


def test_one_template_does_one_errand_after_another_and_a_new_one_follows_a_dead_one(graph: Graph) -> None:
    known = graph.entries("plan", "prepare")
    graph.share("first")
    known |= graph.entries("first")

    def errand(stage: str) -> Errand:
        return Errand(stage, known, graph.remote, "cpu", {})

    with closing(Template(graph.code)) as template:
        assert [template.execute(errand(stage), lambda: False).status for stage in ("third", "wrong", "second")] == [
            *(0, 1, 0)
        ]
        (begun,) = running()
        done = template.execute(errand("slow"), lambda: bool(graph.names[-1:] == ["slow"] and not begun.kill()))
        assert (reason(done.output, done.status), done.entry) == ("SIGKILL ended it", None)
        assert template.execute(errand("last"), lambda: False).status == 1, "of third and second nobody told it"
        (other,) = running()
        assert other != begun
    assert not running()


def running() -> list[psutil.Process]:
    """The templates."""
    children = psutil.Process().children()
    return [each for each in children if "pipeline.engines.worker" in each.cmdline()]


def test_what_keeps_a_template_from_its_work_is_told(graph: Graph) -> None:
    code = graph.code
    (code / "pipeline").mkdir()
    (code / "pipeline/__init__.py").write_text("raise ImportError('not this release')")
    with closing(Template(code)) as template:
        done = template.execute(Errand("first", {}, graph.remote, "cpu", {}), lambda: False)
    assert done.status == 1 and "not this release" in done.output


def test_what_an_errand_imported_the_next_one_has(graph: Graph) -> None:
    """As the library of a remote, which takes a second: here it is what DVC loads as it opens a repository."""
    begun: list[int] = []

    def look() -> bool:
        (template,) = running()
        if not begun and template.children():  # it has forked: its own imports are done
            begun.append(libraries(template))
        return False

    errand = Errand("first", graph.entries("plan", "prepare"), graph.remote, "cpu", {})
    with closing(Template(graph.code)) as template:
        assert template.execute(errand, look).status == 0
        wait("what it needed", lambda: libraries(*running()) > begun[0])


def libraries(process: psutil.Process) -> int:
    return len({each.path for each in process.memory_maps() if ".so" in each.path})


def test_a_workspace_has_its_stages_alone() -> None:
    text = """
    vars: [params.yaml]
    stages:
      one: {cmd: "true"}
      many:
        foreach: {1: {of: x}, b: {of: "${x}"}, c: {of: z}}
        do: {cmd: "echo ${key} ${item.of}"}
      listed:
        foreach: [x, y]
        do: {cmd: "echo ${item}"}
      other: {cmd: "true"}
    metrics: [m.json]
    plots: [{m.json: {}}]
    """
    graph = yaml.safe_load(text)
    stages = graph["stages"]
    assert part(graph, ["one", "many@1", "many@b", "listed@y"]) == {
        "vars": ["params.yaml"],
        "stages": {
            "one": stages["one"],
            "many": {**stages["many"], "foreach": {1: {"of": "x"}, "b": {"of": "${x}"}}},
            "listed": stages["listed"],
        },
    }
