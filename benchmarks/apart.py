"""Networks one by one, each through several steps in a process of its own; what it reached is written at once."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from pipeline.base.errors import UserError, innermost
from pipeline.base.files import read_json, write_json


class Way:
    """One network on its way: a method for each step, which gives what is to be recorded of it.

    Attributes:
        STEPS: In order.
        FIRST: Those without which nothing follows.
        NEEDS: Of a step, the one without which it is left out.
    """

    STEPS: ClassVar[tuple[str, ...]] = ()
    FIRST: ClassVar[tuple[str, ...]] = ()
    NEEDS: ClassVar[Mapping[str, str]] = {}

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder


def measure(
    out: Path, asked: Mapping[str, Any], way: type[Way], names: Iterable[str], limit: float, log: Callable[[str], None]
) -> dict[str, Any]:
    """Try the networks that `out` lacks, and write it anew after each; return what it holds.

    asked: What is the same for all. limit: seconds that one may take. A failure is named in the place of what was to be
    reached.
    """
    whole: dict[str, Any] = read_json(out) if out.exists() else {**asked, "networks": {}}
    if {key: whole.get(key) for key in asked} != asked:
        raise UserError(f"{out} is of another timm or torch: name another file")
    for name in names:
        if name not in whole["networks"]:
            whole["networks"][name] = found = _alone(way, name, limit)
            write_json(out, whole)
            log(f"{name}: {_line(way, found)}")
    return whole


def failed(way: type[Way], found: Mapping[str, Any]) -> dict[str, str]:
    """What a network did not reach, and why."""
    return {step: found[step] for step in way.STEPS if isinstance(found.get(step), str)}


def _line(way: type[Way], found: Mapping[str, Any]) -> str:
    wrong = failed(way, found)
    return "; ".join(f"{step}: {reason}" for step, reason in wrong.items()) or f"all, {found['seconds']:.0f} s"


def _alone(way: type[Way], name: str, limit: float) -> dict[str, Any]:
    """Try one in a process of its own, which may run out of memory or time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        process = multiprocessing.get_context("spawn").Process(target=_try, args=(way, name, path))
        process.start()
        process.join(limit)
        stopped = process.is_alive()
        if stopped:
            process.kill()
            process.join()
        found: dict[str, Any] = read_json(path) if path.exists() else {}
    if stopped or process.exitcode:
        step = next(step for step in way.STEPS if step not in found)
        found[step] = f"took more than {limit:.0f} s" if stopped else f"ended with status {process.exitcode}"
    return found


def _try(way: type[Way], name: str, path: Path) -> None:
    """Write to `path`, after each step, how far the network came."""
    torch.set_num_threads(1)
    started = time.monotonic()
    found: dict[str, Any] = {}
    at = way(name, path.parent)
    for step in way.STEPS:
        if step in way.NEEDS and isinstance(found.get(way.NEEDS[step]), str):
            continue
        try:
            found |= getattr(at, step)()
        except Exception as error:  # of whatever class the network, or the exporter, raises
            found[step] = str(error) if isinstance(error, UserError) else innermost(error)
            if step in way.FIRST:
                break
        found["seconds"] = round(time.monotonic() - started, 1)
        write_json(path, found)
    write_json(path, found)
