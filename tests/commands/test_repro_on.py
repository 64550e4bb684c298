"""The stages on machines that share nothing but a remote: two folders, each with a cache of its own."""

import os
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.commands import repro_on as command
from pipeline.config.machine import Machine
from pipeline.config.resources import Resources
from pipeline.planning.specs import sharing
from tests.engines.fake_machines import FakeMachines
from tests.engines.small_graph import Graph, contents, create
from tests.scratch import RAN, wait

DRIVE = (sys.executable, "-m", "tests.engines.fake_machines", "drive")
FIVE = ("prepare", "first", "second", "third", "last")


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return create(tmp_path, monkeypatch)


def test_two_machines_do_what_one_would_and_then_nothing_is_to_be_done(graph: Graph) -> None:
    said = graph.scratch.run(*DRIVE, "last")
    assert sorted(graph.names) == sorted(FIVE)
    where = dict(graph.ran)
    assert where["prepare"] == "", "it reads what only the driver's machine is known to see"
    assert {where["second"], where["third"]} == {"a", "b"}, "at once, each on its own"
    assert said.count("Running stage") == 6 and "Updating lock file" not in said.split("first begins")[1].split("\n")[0]
    assert re.search(r"^5 of 5 stages were due, and ran in ", said, re.MULTILINE)
    assert not (graph.folder / "first").exists(), "what was made elsewhere is not brought here unasked"

    said = graph.scratch.run(*DRIVE, "last")
    assert "nothing to do: all 5 stages are up to date" in said and RAN.findall(said) == ["plan"]

    graph.give("third", 2)
    graph.scratch.run(*DRIVE, "last")
    assert sorted(graph.names[5:]) == ["last", "third"], "what the changed one reads is still in the remote"

    graph.scratch.run("dvc", "pull", *FIVE)
    found = contents(graph.folder, FIVE)
    assert graph.scratch.repro("last") == ["plan"], "and DVC agrees that nothing is to be done"
    for name in FIVE:
        graph.scratch.run("rm", "-r", name)
    graph.scratch.run("rm", "-r", ".dvc/cache", "dvc.lock")
    assert sorted(graph.scratch.repro("last")) == sorted(("plan", *FIVE))
    assert {**contents(graph.folder, FIVE), "second/all": ""} == {**found, "second/all": ""}
    assert '"device": "cpu"' in found["second/all"], "which the driver resolved once for all"


@pytest.mark.long
def test_what_was_made_here_goes_to_the_machines_and_what_is_lost_is_made_again(graph: Graph) -> None:
    graph.scratch.run("dvc", "repro", "third")
    graph.give("last", 2)
    graph.scratch.run(*DRIVE, "last")
    assert graph.names == ["prepare", "first", "third", "second", "last"]
    graph.scratch.run("rm", "-r", ".dvc/cache", "prepare", "first", "third")
    for path in [*(graph.top / "remote").iterdir()]:
        graph.scratch.run("rm", "-r", str(path))
    graph.give("last", 3)
    graph.scratch.run(*DRIVE, "last")
    assert {"prepare", "last"} <= {*graph.names[5:]} <= {*FIVE}, "the machines' caches may still have some"
    graph.scratch.run("dvc", "pull", *FIVE)
    assert graph.scratch.repro("last") == ["plan"]


def test_a_driver_that_is_killed_begins_again_and_runs_nothing_twice(graph: Graph) -> None:
    driver = graph.scratch.start(*DRIVE, "last")
    wait("the first stage on a machine", lambda: "first" in graph.names or driver.poll() is not None)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait("what it had sent to be done", lambda: len([*(graph.top / "remote/runs").rglob("*")]) >= 6)
    graph.scratch.run(*DRIVE, "last")
    assert sorted(graph.names) == sorted(FIVE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_asked_to_stop_stages_save_before_the_driver_ends(graph: Graph, number: signal.Signals) -> None:
    driver = graph.scratch.start(*DRIVE, "slow", "prepare")
    wait("the stage", lambda: "slow" in graph.names or driver.poll() is not None)
    os.kill(driver.pid, number)
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 128 + number, said
    assert graph.names[-1] == "saved"
    assert "stopped while slow ran: give the command again to go on" in said and "Traceback" not in said


def test_one_that_fails_stops_those_that_need_it_and_says_where(graph: Graph) -> None:
    said = graph.scratch.run(*DRIVE, "wrong", "last", code=1)
    assert re.search(r"^error: wrong failed: it cannot be \(on .+\)$", said, re.MULTILINE), said
    assert "last" in graph.names, "others go on"
    assert "wrong" not in graph.lock and "Traceback" not in said


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("resources.yaml", "second: {cpus: 8}", "second takes 8 CPUs, which no machine has: see resources.yaml"),
        ("resources.yaml", "secnd: {cpus: 1}", "resources.yaml: unknown family 'secnd', did you mean 'second'?"),
        ("resources.yaml", "second: {gpus: 2}", "resources.yaml: second.gpus is 2, and a stage uses one: give 1"),
        (".dvc/config", "[core]\n    analytics = false\n", ".dvc/config has no default remote, by which machines "),
    ],
)
def test_what_cannot_be_is_one_sentence(graph: Graph, file: str, text: str, sentence: str) -> None:
    (graph.folder / file).write_text(text)
    said = graph.scratch.run(*DRIVE, "last", code=1)
    *_, last = said.splitlines()
    assert last.startswith(f"error: {sentence}"), said
    assert set(graph.names) <= {"prepare"}


def test_a_stage_whose_machines_see_the_files_runs_there(graph: Graph) -> None:
    (graph.folder / "resources.yaml").write_text("prepare: {label: sees=images, sees_files: true}\n")
    graph.scratch.run(*DRIVE, "prepare")
    assert graph.ran == [("prepare", "b")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"device": "cuda:1"}, "machine.device is cuda:1, which names one of this machine: use auto"),
        ({"threads": None}, "machine.threads is null, which is another number on each machine: give one"),
        ({"device": "cpu"}, "resources.yaml: teacher.gpus is 1, but params.yaml: machine.device is cpu"),
    ],
)
def test_settings_that_each_machine_would_take_otherwise_are_refused(changes: dict[str, Any], sentence: str) -> None:
    machine = Machine(**{"threads": 1, **changes})
    with pytest.raises(UserError, match=f"{re.escape(sentence)}$"):
        command._check(machine, ["teacher"], Resources({"teacher": {"gpus": 1}}, ["teacher"]))
    command._check(Machine(threads=1), ["teacher"], Resources({"teacher": {"gpus": 1}}, ["teacher"]))


def test_a_device_is_named_where_machines_would_find_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "computes", lambda stage: stage == "teacher")
    command._check_near({"prepare"}, Machine(threads=1))
    command._check_near({"prepare", "teacher"}, Machine(threads=1, device="cuda"))
    with pytest.raises(UserError, match=r"machine.device is auto, and teacher reads a file and so runs here"):
        command._check_near({"prepare", "teacher"}, Machine(threads=1))
    with pytest.raises(UserError, match=r"machine.device is cuda, and teacher takes no GPU: give `gpus: 1` to teacher"):
        command._check_room({"teacher"}, Machine(threads=1, device="cuda"), Resources(None, []), FakeMachines(Path()))


def test_saved_training_travels_unless_the_environment_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Any = SimpleNamespace(machine=Machine(threads=2))
    machines = FakeMachines(Path()).hosts()
    monkeypatch.delenv(sharing.VARIABLE, raising=False)
    assert command._alike(machines, read, False) == {"OMP_NUM_THREADS": "2", sharing.VARIABLE: "1"}
    monkeypatch.setenv(sharing.VARIABLE, "0")
    assert command._alike(machines, read, False)[sharing.VARIABLE] == "0"


def test_there_is_no_other_engine() -> None:
    with pytest.raises(UserError, match=r"^--on takes ray, not 'slurm'$"):
        command.connection("slurm")


def test_without_ray_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "pipeline.engines.on_ray", raising=False)
    monkeypatch.delattr("pipeline.engines.on_ray", raising=False)
    with pytest.raises(UserError, match=r"^--on ray needs Ray, which is not installed here: `pip install "):
        command.connection("ray")
