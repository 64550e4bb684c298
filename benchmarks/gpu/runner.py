"""The check as a whole: parts in order of importance, written as they go, ended when the time is up."""

import gc
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import cifar, fast, right, stage
from benchmarks.gpu.finding import Check, Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.words import Report
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.config.section import unknown

Part = Callable[[Setting], Iterator[Check]]
GROUPS: dict[str, dict[str, Part]] = {
    "right": {
        "gradients": right.gradients,
        "repeats": right.repeats,
        "labels": right.labels,
        "processes": right.processes,
        "ships": right.ships,
        "stages": stage.stages,
        "waits": right.waits,
    },
    "fast": {
        "speed": fast.speed,
        "replayed": fast.replayed,
        "stored": fast.stored,
        "fed": fast.fed,
        "loop": fast.loop,
        "cifar": cifar.cifar,
        "labelling": fast.labelling,
        "saving": fast.saving,
        "timm": fast.timm,
    },
}
NAMES = (*GROUPS, *(name for parts in GROUPS.values() for name in parts))
TIME_IS_UP = "The time was up: give it alone by --only, or a larger --budget."


def chosen(only: str | None) -> dict[str, Part]:
    """The parts that `--only` names: a group, one part, or all.

    Raises:
        UserError: There is no such part.
    """
    parts = {name: part for group in GROUPS.values() for name, part in group.items()}
    if only is None:
        return parts
    if only not in NAMES:
        raise UserError(f"--only: {unknown('part', only, NAMES)}")
    return GROUPS.get(only) or {only: parts[only]}


def check(out: Path, budget: float, only: str | None, data: Path | None, small: bool, machine: dict[str, Any]) -> bool:
    """Run the parts, and write what they find to `out` and beside it as a table; whether nothing is wrong."""
    deadline = time.monotonic() + budget
    parts = chosen(only)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder), small, data, deadline)
        asked = {"budget": budget, "only": only, "small": small}
        report = Report(out, {**asked, "machine": machine | versions(), "on": computes(setting)})
        for finding in findings(parts, setting):
            report.add(finding)
    return report.end()


def versions() -> dict[str, Any]:
    """Of what decides kernels."""
    return {"python": platform.python_version(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def computes(setting: Setting) -> str:
    """What computes here, in one line."""
    try:
        found = ", ".join(f"{key} {value}" for key, value in setting.device("auto").describe().items())
    except Exception as error:
        return failure(error)
    return found if setting.on_gpu else f"NO GPU WAS FOUND, and this says nothing of one. {found}"


def findings(parts: dict[str, Part], setting: Setting) -> Iterator[Finding]:
    """What each check of each part finds. One that fails is a finding; those that the time does not allow are, too."""
    for name, part in parts.items():
        try:
            for each in part(setting):
                late = setting.left() <= 0
                for finding in [Finding(each.name, sentence=TIME_IS_UP)] if late else _run(each):
                    yield replace(finding, part=name)
        except Exception as error:
            yield Finding("all of it", ok=False, sentence=failure(error), part=name)
        free()


def _run(check: Check) -> Iterator[Finding]:
    try:
        yield from check.run()
    except Exception as error:
        yield Finding(check.name, ok=False, sentence=failure(error))
        free()  # its tensors hang in the traceback, and the next check may need the memory


def free() -> None:
    """Give back all memory that nobody uses; a fifth of a second, so not after each check."""
    gc.collect()
    with suppress(RuntimeError):  # a GPU that an error has put out of use gives nothing back
        torch.cuda.empty_cache()  # does nothing where there is none


def failure(error: Exception) -> str:
    """What failed and where in our code, in one sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(str(CODE))] or frames
    places = ", ".join(f"{frame.filename.removeprefix(f'{CODE}/')}:{frame.lineno}" for frame in own[-3:])
    return f"It fails with {type(error).__name__} ({' '.join(str(error).split())[:300]}) in {places}."
