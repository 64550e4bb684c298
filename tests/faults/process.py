"""A stage in a process of its own, forked from one that has torch: hundreds of them cost little."""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

# Imported before the fork, so that no point lies in an import.
import sklearn.datasets  # noqa: F401
import torch

import pipeline.compression.stage
import pipeline.compression.steps.distil
import pipeline.compression.steps.prune
import pipeline.lineage.chain
import pipeline.lineage.results
import pipeline.planning.build
import pipeline.planning.graph
import pipeline.training.ensemble
import pipeline.training.learn
import pipeline.training.stage  # noqa: F401
import stages.__main__
from pipeline.dvc.training_state import VARIABLE
from pipeline.evaluation.cost import flops
from tests.faults.graph import Stage
from tests.faults.points import Fault, Points

# Torch itself imports some of what a step needs when the first one is taken.
_layer = torch.nn.Linear(1, 1)
flops(_layer, 1, 1)
torch.optim.SGD(_layer.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True).step()

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
LONGEST = 120.0


@dataclass(frozen=True)
class Ended:
    """How a stage ended: its exit status (negative: the signal), and what it printed."""

    status: int
    said: str


class Running:
    """A stage that runs in a workspace.

    Args:
        folder: The workspace.
        state: Where training state lies.
        verb: The command's words after `stages`.
        log: A folder for output and journal; what lay there of earlier runs is removed.
        fault: What strikes it.
        largest: Bytes beyond which no file may grow.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        verb: tuple[str, ...],
        log: Path,
        fault: Fault | None = None,
        largest: int | None = None,
    ) -> None:
        log.mkdir(parents=True, exist_ok=True)
        for left in log.iterdir():
            left.unlink()
        # A pipe, not a file: what is said must not count against `largest`.
        os.mkfifo(log / "said")
        self.output = os.open(log / "said", os.O_RDONLY | os.O_NONBLOCK)
        self.process: BaseProcess = CONTEXT.Process(target=_stage, args=(folder, state, verb, log, fault, largest))
        self.process.start()

    def end(self) -> Ended:
        """Wait for its end."""
        self.process.join(LONGEST)
        status = self.process.exitcode
        if status is None:
            self.process.kill()
            self.process.join()
        with os.fdopen(self.output, encoding="utf-8", errors="replace") as file:
            said = file.read()
        assert status is not None, f"still running after {LONGEST:.0f} s:\n{said}"
        return Ended(status, said)


def run_all(found: Iterable[Stage], folder: Path, state: Path, log: Path) -> None:
    """Run stages in a workspace, undisturbed, one after the other."""
    for stage in found:
        ended = Running(folder, state, stage.verb, log).end()
        assert ended.status == 0, f"{stage.name}: {ended.said}"


def _stage(
    folder: Path, state: Path, verb: tuple[str, ...], log: Path, fault: Fault | None, largest: int | None
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(log / "said", os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(folder)
    os.environ[VARIABLE] = str(state)
    os.environ.pop("DVC_ROOT", None)
    torch.set_num_threads(1)
    sys.argv = ["stages", *verb]
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    if fault is None:
        stages.__main__.main()
        return
    points = Points(fault, [folder, state], log)
    points.install()
    try:
        stages.__main__.main()
    finally:
        points.note({"points": points.count})
