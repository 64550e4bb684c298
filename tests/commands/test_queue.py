"""Experiments of DVC's queue on machines that share nothing but a remote."""

import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.commands import queue
from pipeline.dvc import experiments, waiting
from tests.commands.test_repro_on import DRIVE, FIVE
from tests.engines.small_graph import Graph, create
from tests.scratch import wait

CODE = "import sys; from pipeline.commands import queue; from pipeline.console.errors import run; "
ON_MACHINES = (sys.executable, "-c", f"{CODE}run(lambda: sys.exit(queue.side_by_side({DRIVE!r}, sys.argv[1:], None)))")
TWICE = ("third", "last")


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The graph with two experiments that wait, which differ in what `third` is given."""
    found = create(tmp_path, monkeypatch)
    for name, value in {"two": 2, "three": 3}.items():
        found.give("third", value)
        found.scratch.run("dvc", "exp", "run", "--queue", "--name", name, "last")
    found.give("third", 1)
    return found


def states() -> dict[str, str | None]:
    return {each.name: each.state for each in experiments.read() if each.name in ("two", "three")}


def test_each_is_an_experiment_of_dvc_and_what_they_share_runs_once(graph: Graph) -> None:
    assert waiting.names() == ["two", "three"] and states() == {"two": "queued", "three": "queued"}
    said = graph.scratch.run(*ON_MACHINES, "two", "three")
    assert "2 of 2 experiments were due, and ran in " in said
    assert sorted(graph.names) == sorted(("prepare", "first", "second", *TWICE, *TWICE))
    assert waiting.names() == [] and states() == {"two": None, "three": None}
    assert not [*(graph.folder / ".dvc/tmp" / waiting.FOLDERS).iterdir()], "their folders are gone"
    assert not [*(graph.folder / ".dvc/tmp/stages").iterdir()]

    for name, value in {"two": 2, "three": 3}.items():
        graph.scratch.run("dvc", "exp", "branch", name, f"with-{name}")
        graph.scratch.run("git", "checkout", "--quiet", "--force", f"with-{name}")
        graph.scratch.run("dvc", "pull", *FIVE)
        assert f'"value": {value}' in (graph.folder / "last").read_text()
        assert yaml.safe_load((graph.folder / "dvc.lock").read_text())["stages"].keys() >= {"plan", *TWICE}
        assert graph.scratch.repro("last") == ["plan"], "DVC agrees that nothing is to be done"


def test_one_that_is_killed_goes_on_waiting_and_is_run_by_the_next(graph: Graph) -> None:
    driver = graph.scratch.start(*ON_MACHINES, "two")
    wait("a stage on a machine", lambda: "first" in graph.names or driver.poll() is not None)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert waiting.names() == ["two", "three"]
    said = graph.scratch.run(*ON_MACHINES, "two")
    assert waiting.names() == ["three"] and states()["two"] is None, said
    assert graph.names.count("prepare") == 1
    assert not [*(graph.folder / ".dvc/tmp" / waiting.FOLDERS).iterdir()]


def test_one_that_fails_goes_on_waiting_and_says_why(graph: Graph) -> None:
    graph.scratch.run("dvc", "exp", "run", "--queue", "--name", "bad", "wrong")
    graph.scratch.run("dvc", "exp", "run", "--queue", "--name", "forced", "--force", "last")
    said = graph.scratch.run(*ON_MACHINES, "bad", "forced", code=1)
    assert "error: bad failed: wrong failed: it cannot be" in said
    assert "error: forced failed: forced was queued with --force, which machines do not know: queue it without" in said
    assert waiting.names() == ["two", "three", "bad", "forced"]


def test_a_name_that_does_not_wait_is_named(graph: Graph) -> None:
    with pytest.raises(UserError, match=r"^unknown experiment that waits 'tow', did you mean 'two'\?$"):
        queue.run(["tow"], None, "ray")
    with (
        pytest.raises(UserError, match=r"^gone does not wait in DVC's queue any more"),
        waiting.unpacked("gone", print),
    ):
        pass


def test_where_nothing_waits_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create(tmp_path, monkeypatch)
    assert queue.run([], None, None) == 0
    assert capsys.readouterr().out == "nothing waits in DVC's queue: `dvc exp run --queue` adds an experiment\n"
