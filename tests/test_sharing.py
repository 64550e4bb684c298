"""A stage that is killed on one host goes on on another, which has nothing but the remote, to the very same bytes."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scratch import CONFIG, Scratch
from tests.test_resume import STEP, done, ended, results

STRUCK = Path(__file__).with_name("struck_when_shared.py")
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


def test_killed_in_training_and_in_labelling_it_goes_on_elsewhere(hosts: Hosts, lineage: Scratch) -> None:
    first, second, third = hosts("first"), hosts("second"), hosts("third")
    killed(first, r"7-1-of-60-\w{64}", STEP, 30, "baseline")
    said = killed(second, r"view-1-.*", "pipeline.labels.parts:view_path", 3, "baseline")
    assert "baseline: the state in the remote is further and used: epoch 8, step 2" in said
    assert done(said) == 29
    said = third.stage("baseline")
    assert "training was finished before" in said
    assert "baseline: 2 views of labels come from the remote" in said
    assert "baseline: going on with labels at view 2 of 3, " in said
    assert results(third, "baseline") == results(lineage, "baseline")
