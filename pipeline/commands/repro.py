"""`dvc repro` with several stages at a time: the same stages run, and leave the same behind."""

import os
import sys
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path

from pipeline.base.signals import deferred
from pipeline.config import params
from pipeline.console.progress import log, warn
from pipeline.dvc import internals, place
from pipeline.engines import gpus, schedule
from pipeline.engines.engine import Engine, Here, StageWork
from pipeline.engines.room import Room
from pipeline.engines.schedule import Before
from pipeline.engines.screen import showing
from pipeline.planning.specs.machine import read_machine

PLAN = "plan"
NAMED = 8  # stages that a closing line names


def repro(targets: list[str], jobs: int | None) -> int:
    """Bring these stages up to date, all without, and print what came of it; the exit status.

    Args:
        targets: As of `dvc repro`.
        jobs: How many at a time; None is one a GPU, and one where there is no GPU.

    Raises:
        UserError: There is no such target, or the parameters or DVC's files cannot be read.
    """
    place.check()
    own = [] if jobs == 1 else _gpus()
    jobs = jobs or max(1, len(own))
    if jobs == 1:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "dvc", "repro", *targets])
    began = time.monotonic()
    needs = internals.needs(targets)
    run = StageRuns()
    # `plan` always runs, and only after it can be known what else is due.
    run.together(schedule.among(needs, {PLAN}), Here([{}], Room([None], [])))
    rest = schedule.among(needs, needs.keys() - {PLAN})
    run.not_begun = [*rest]
    if run.status == 0:
        cards = gpus.of_places(jobs, read_machine().device, gpus.visible(os.environ))
        here = Here(gpus.environments(jobs, own), Room(cards, rest))
        run.together(schedule.among(rest, schedule.due(rest, internals.changed())), here)
    run.close(len(rest), time.monotonic() - began)
    return run.status


def _gpus() -> list[str]:
    """Those of which each stage can have one of its own: none where params.yaml gives one device for all."""
    found = gpus.visible(os.environ)
    if len(found) > 1 and params.read(Path("params.yaml")).machine.device not in ("auto", "cuda"):
        return []
    return found


class StageRuns:
    """Stages that run side by side, and what became of them.

    Attributes:
        ended: Those that are done, failed or stopped, by stage.
        signal: What asked for a stop; 0 where nothing did.
    """

    def __init__(self) -> None:
        self.ended: dict[str, StageWork] = {}
        self.failed: list[str] = []
        self.stopped: list[str] = []
        self.not_begun: list[str] = []
        self.signal = 0

    @property
    def status(self) -> int:
        """To exit with."""
        return 128 + self.signal if self.signal else int(bool(self.failed))

    def together(self, needs: Before, engine: Engine) -> None:
        """Run these stages, as many at a time as the engine has places and room for."""
        running: list[StageWork] = []
        waited: set[str] = set()
        stopping = False
        with deferred() as stop_asked, showing(len(needs)) as screen:

            def find(stage: str, free: Collection[int]) -> int | None:
                found = engine.find(stage, free)
                if isinstance(found, str) and stage not in waited:
                    waited.add(stage)
                    screen.waits(stage, found)
                return found if isinstance(found, int) else None

            def begin(stage: str, place: int) -> StageWork:
                screen.begins(stage)
                running.append(engine.begin(stage, place))
                return running[-1]

            def check() -> None:
                nonlocal stopping
                if stop_asked() and running and not stopping:
                    stopping = True
                    screen.stops(_named([each.stage for each in running]))
                engine.wait(running)
                for each in [each for each in running if each.has_ended]:
                    running.remove(each)
                    engine.leave(each)
                    self.ended[each.stage] = each
                    screen.ends(each.close())
                screen.draw(running)

            outcome = schedule.run(needs, engine.places, find, begin, check, stop_asked)
            self.signal = stop_asked()
        self.failed += outcome.failed
        self.stopped += outcome.stopped
        self.not_begun = outcome.not_begun

    def close(self, total: int, seconds: float, what: str = "stages") -> None:
        """Print what came of it all; `what` ran, in the plural."""
        for stage in self.failed:
            warn(f"error: {stage} failed: {self.ended[stage].why}")
        if self.signal:
            running = f" while {_named(self.stopped)} ran" if self.stopped else ""
            warn(f"stopped{running}: give the command again to go on")
        elif self.failed:
            if self.not_begun:
                warn(f"not begun, as they need what failed: {_named(self.not_begun)}")
        elif ran := [stage for stage, each in self.ended.items() if not each.unchanged and stage != PLAN]:
            log(f"{len(ran)} of {total} {what} were due, and ran in {timedelta(seconds=round(seconds))}")
        else:
            log(f"nothing to do: all {total} {what} are up to date")


def _named(stages: Sequence[str]) -> str:
    more = f" and {len(stages) - NAMED} more" if len(stages) > NAMED else ""
    return f"{', '.join(stages[:NAMED])}{more}"
