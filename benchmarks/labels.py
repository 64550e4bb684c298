"""Soft labels of many rows and classes: seconds and memory of each step of a label set's life.

Memory is what a process holds of its own (RssAnon of Linux) beyond what it held before the step: pages of mapped files
are not in it, which the system takes back as it needs them. Logits are made, of a few hundred components and noise.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base import files
from pipeline.data.origins import Origins
from pipeline.evaluation.ensemble import combine
from pipeline.labels.answers import match
from pipeline.labels.columns import read_columns
from pipeline.labels.given import write_given
from pipeline.labels.layout import Format
from pipeline.labels.store import Labels, LabelsHeader, open_labels

CLASSES, VIEWS, BATCH, STEPS = 1000, 2, 128, 200
FORMATS = {
    "dense float16": Format("dense", "float16"),
    "low-rank, k = 10, rank = 125": Format("lowrank", "float16", 10, 125),
}
SPEC = {"seed": 0}
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Step:
    """Seconds on the clock, and bytes of memory at the most; `disk`: bytes of the label set."""

    form: str
    step: str
    rows: int
    seconds: float
    memory: int
    disk: int


def measure(out: Path, folder: Path, rows: int, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """All steps of each form in `folder`, of `rows` rows; written to `out` after each form."""
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for form, format in FORMATS.items():
        for step in _of(folder / format.kind, form, format, rows):
            found.append(asdict(step))
            log(f"{form}: {step.step}: {step.seconds:.0f} s, {step.memory / 1e6:.0f} MB")
        files.write_json(out, found)
    for step in _of_answers(folder, rows):
        found.append(asdict(step))
        log(f"{step.form}: {step.step}: {step.seconds:.0f} s, {step.memory / 1e6:.0f} MB")
    files.write_json(out, found)
    return found


def table(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Cells, header first."""
    cells = [("form", "step", "rows", "seconds", "memory, MB", "on disk, MB")]
    for each in found:
        numbers = (f"{each['seconds']:.3g}", f"{each['memory'] / 1e6:.0f}", f"{each['disk'] / 1e6:,.0f}")
        cells.append((each["form"], each["step"], f"{each['rows']:,}", *numbers))
    return cells


class Killed(Exception):
    """Stands for the end of a process."""


def _of(folder: Path, form: str, format: Format, rows: int) -> Iterator[Step]:
    header = LabelsHeader("teacher", "0" * 64, "0" * 64, {**SPEC, "count": rows}, _names(), rows, VIEWS, format)
    labels, parts = folder / "labels", folder / "parts"
    for each in (labels, parts):
        each.mkdir(parents=True, exist_ok=True)

    def step(name: str, work: Callable[[], object]) -> Step:
        with _measured() as spent:
            work()
        disk = sum(path.stat().st_size for path in labels.iterdir())
        return Step(form, name, rows, spent["seconds"], int(spent["memory"]), disk)

    def killed(v: int, rows_B: np.ndarray) -> Tensor:
        if v == VIEWS and rows_B[0] > rows // 2:
            raise Killed
        return answered(v, rows_B)

    def write() -> None:
        with suppress(Killed):
            write_given(killed, header, labels, parts)

    written: list[str] = []
    yield step(f"{VIEWS} of {VIEWS + 1} views and half of the last are written", write)
    yield step("the rest is written", lambda: written.append(write_given(answered, header, labels, parts)))
    bound: dict[str, Any] = {"data_hash": header.data_hash, "views": header.view_spec, "classes": header.classes}
    found = open_labels(labels, recorded=written[0], **bound)
    yield step("a view is opened and its hash compared", lambda: found.rows(1, np.arange(1)))
    drawn = np.random.default_rng(0)
    batches = [drawn.integers(0, rows, BATCH) for _ in range(STEPS)]
    yield step(f"{STEPS} batches of {BATCH} random rows are read", lambda: _read(found, batches))
    yield step("all rows are read once in pieces", lambda: _sum(found))
    yield step("two views are combined as an ensemble's members", lambda: _combined(found))


def _of_answers(folder: Path, rows: int) -> Iterator[Step]:
    """A file of answers to the clean images and one view, float16, as numpy writes it."""
    path = folder / "answers.npz"
    number, view = np.tile(np.arange(rows), 2), np.repeat([0, 1], rows)
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float16, (2 * rows, CLASSES))
    for start in range(0, rows, 4096):
        rows_B = np.arange(start, min(start + 4096, rows))
        for v in (0, 1):
            logits[v * rows + rows_B] = answered(v, rows_B).numpy()
    np.savez(path, number=number, view=view, logits=logits, view_spec=np.array('{"seed": 0}'))
    (folder / "logits.npy").unlink()
    few = np.arange(8)
    origins = Origins({"train": np.arange(rows), "validation": few, "test": few}, rows, None)
    with _measured() as spent:
        answers = match(read_columns(path, str(path)), origins, _names(), 1, SPEC, str(path))
    size = path.stat().st_size
    yield Step("file of answers", "it is read and matched", rows, spent["seconds"], int(spent["memory"]), size)
    header = LabelsHeader("teacher", "0" * 64, "0" * 64, SPEC, _names(), rows, 1, FORMATS["dense float16"])
    for name in ("labels", "parts"):
        (folder / name).mkdir(exist_ok=True)
    with _measured() as spent:
        write_given(answers.rows, header, folder / "labels", folder / "parts")
    yield Step("file of answers", "its labels are written", rows, spent["seconds"], int(spent["memory"]), size)


def answered(v: int, rows_B: np.ndarray) -> Tensor:
    """Logits of some rows in a view: float32 (B, C), the same whatever they are asked for with."""
    axes_RC = np.random.default_rng(0).standard_normal((64, CLASSES), np.float32)
    # Of each row its own numbers, without a generator for each.
    weights_BR = np.sin(np.outer(rows_B + 1, np.arange(1, 65)) * (0.37 + v)).astype(np.float32)
    return torch.from_numpy(weights_BR @ axes_RC)


def _names() -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(CLASSES))


def _read(labels: Labels, batches: Sequence[np.ndarray]) -> None:
    for rows_B in batches:
        labels.rows(1, rows_B)


def _sum(labels: Labels) -> float:
    return sum(float(z_BC.sum()) for z_BC in labels.pieces(1))


def _combined(labels: Labels) -> float:
    """In batches, as an ensemble labels."""
    total = 0.0
    for start in range(0, labels.header.count, BATCH):
        rows_B = np.arange(start, min(start + BATCH, labels.header.count))
        members_MBC = torch.stack([labels.rows(v, rows_B) for v in (1, 2)])
        total += float(combine(members_MBC, "probabilities").sum())
    return total


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Seconds, and the most memory beyond what there was."""
    found: dict[str, float] = {"memory": 0.0}
    before, done = _held(), threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            found["memory"] = max(found["memory"], _held() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        yield found
    finally:
        found["seconds"] = time.perf_counter() - began
        done.set()
        watcher.join()


def _held() -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) << 10
