"""A stage in a DVC process of its own: what a person reads of one that fails, or was stopped."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait

import pytest

from pipeline.base.errors import UserError
from pipeline.console.errors import FULL
from pipeline.dvc import internals
from pipeline.engines.process import Process


def ended(process: Process) -> str:
    """Its output."""
    assert wait([process.sentinel], 60)
    while not process.has_ended:
        time.sleep(0.01)
    return process.close()


def fails(error: Exception) -> Callable[[str], bool]:
    def run(stage: str) -> bool:
        sys.stderr = sys.__stderr__  # and not pytest's, which is no descriptor of number 2
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.ENOSPC, "x", "dvc.lock"), f"the disk is full (dvc.lock): {FULL}"),
        (UserError("failed to reproduce 'x'"), "failed to reproduce 'x'"),
    ],
)
def test_what_keeps_dvc_from_its_work_is_our_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    monkeypatch.setattr(internals, "run", fails(error))
    process = Process("x", {})
    said = ended(process)
    assert process.why == why
    assert said.count("\n") == 1


def test_the_stages_own_sentence_counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(stage: str) -> bool:
        sys.stderr = sys.__stderr__
        os.write(1, b"error: the disk is full (a)\n")
        raise UserError("failed to reproduce 'x'")

    monkeypatch.setattr(internals, "run", run)
    process = Process("x", {})
    ended(process)
    assert process.why == "the disk is full (a)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_dvc_says_of_a_stage_that_was_stopped_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def run(stage: str) -> bool:
        sys.stderr = sys.__stderr__
        os.write(1, b"ready\n")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.05)
            if signal.getitimer(signal.ITIMER_REAL)[0]:
                raise UserError("failed to reproduce 'x': exited with 130")
        return True

    monkeypatch.setattr(internals, "run", run)
    process = Process("x", {})
    while process.newest() != "ready":
        time.sleep(0.01)
    os.kill(process._process.pid or 0, number)
    assert ended(process) == "ready\n"
    assert process.poll() == 1
