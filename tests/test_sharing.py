"""A stage that is killed on one host goes on on another, which has nothing but the remote, to the very same bytes."""

import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from pipeline.dvc import lock, training_state, travel
from pipeline.engines.machines import Ended, Errand
from pipeline.engines.template import Template
from pipeline.engines.workspace import VARIABLE
from pipeline.planning.specs import sharing
from tests.scratch import CONFIG, Scratch, wait
from tests.test_resume import STEP, done, ended, results, struck

STRUCK = Path(__file__).with_name("struck_when_shared.py")
PIPELINE = (sys.executable, "-m", "pipeline")
Hosts = Callable[[str], Scratch]


@pytest.fixture
def hosts(lineage: Scratch, tmp_path: Path) -> Hosts:
    """Clones of a finished lineage, which know nothing of its training, by name: all have one remote."""

    def host(name: str) -> Scratch:
        scratch = lineage.copy(tmp_path / name, tmp_path / f"{name}.state")
        remote = f"    remote = shared\n['remote \"shared\"']\n    url = {tmp_path / 'remote'}\n"
        (scratch.folder / ".dvc" / "config").write_text(CONFIG + remote)
        scratch.edit({"machine": {"share_state": True}})
        scratch.stage("plan")
        return scratch

    return host


def killed(scratch: Scratch, pattern: str, function: str, call: int, *verb: str) -> str:
    """What a stage printed that was killed when the remote had such a file."""
    remote = scratch.folder.with_name("remote")
    process = scratch.start(sys.executable, str(STRUCK), str(remote), pattern, function, str(call), *verb)
    status, said = ended(process)
    assert status == -signal.SIGKILL, said
    return said


def test_stopped_killed_in_training_and_killed_in_labelling_it_goes_on_elsewhere(
    hosts: Hosts, lineage: Scratch
) -> None:
    zeroth, first, second, third = (hosts(name) for name in ("zeroth", "first", "second", "third"))
    status, said = ended(struck(zeroth, STEP, 10, "SIGTERM", "baseline"))
    assert status == 130 and "progress is saved" in said and "lacks" not in said
    said = killed(first, r"7-1-of-60-\w{64}", STEP, 20, "baseline")
    assert done(said) == 10, "what was saved last is there, too"
    said = killed(second, r"view-1-.*", "pipeline.labels.parts:view_path", 3, "baseline")
    assert "baseline: the state in the remote is further and used: epoch 8, step 2" in said
    assert done(said) == 29
    said = third.stage("baseline")
    assert "training was finished before" in said
    assert "baseline: 2 views of labels come from the remote" in said
    assert "baseline: going on with labels at view 2 of 3, " in said
    assert results(third, "baseline") == results(lineage, "baseline")


def test_a_plan_without_a_remote_is_refused_where_state_is_shared(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository")
    before = sorted((scratch.folder / "plan").rglob("*"))
    scratch.edit({"machine": {"share_state": True}})
    said = scratch.stage("plan", code=1)
    assert said == (
        "error: training state is to be shared, but DVC has no default remote: add one by "
        "`dvc remote add --default NAME URL`, or set machine.share_state to false\n"
    )
    assert sorted((scratch.folder / "plan").rglob("*")) == before


def test_no_other_command_sees_a_difference(hosts: Hosts, lineage: Scratch) -> None:
    sharing = hosts("sharing")
    for command in (("repro", "--dry"), ("status",), ("tree",), ("accept", "--dry")):
        assert sharing.run(*PIPELINE, *command) == lineage.run(*PIPELINE, *command)


def test_a_stage_that_a_machine_of_a_cluster_is_lost_with_goes_on_on_another(lineage: Scratch, tmp_path: Path) -> None:
    """As the driver sends it: what the second machine has is code, a remote, and what the first one put there."""
    driver = lineage.copy(tmp_path / "driver", tmp_path / "state")
    remote = travel.Remote("shared", str(tmp_path / "remote"))
    (driver.folder / ".dvc" / "config").write_text(CONFIG)
    driver.run("dvc", "remote", "add", "--default", remote.name, remote.url)
    driver.run("dvc", "push", "plan", "prepare")
    no_code = shutil.ignore_patterns(".git", "plan", "artifacts", "metrics", "curves", "tmp", "cache", "dvc.lock")
    shutil.copytree(driver.folder, tmp_path / "code", ignore=no_code)
    recorded = lock.read(driver.folder / "dvc.lock").stages
    entries = {name: recorded[name] for name in ("plan", "prepare")}

    def sent(machine: str) -> Ended:
        own = {**driver.environment, VARIABLE: str(tmp_path / machine), sharing.VARIABLE: "1"}
        own.pop(training_state.VARIABLE)
        with closing(Template(tmp_path / "code")) as template:
            return template.execute(Errand("baseline", entries, remote, "cpu", own), lambda: False)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sent, "a")
        wait(
            "a state in the remote", lambda: [*(tmp_path / "remote").glob("training-state/baseline/**/*-of-60-*")] != []
        )
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "stages" in process.cmdline() or "pipeline.engines.worker" in process.cmdline():
                    process.kill()
        assert first.result().entry is None, first.result().output
    second = sent("b")
    assert second.status == 0 and second.entry, second.output
    assert "baseline: the state in the remote is further and used: epoch" in second.output
    made, expected = (
        {each["path"]: each["md5"] for each in found["outs"]} for found in (second.entry, recorded["baseline"])
    )
    assert made["artifacts/baseline"] == expected["artifacts/baseline"]
