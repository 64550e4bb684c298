"""The memory that labels take does not grow with their rows: sets larger than a limit are written and read."""

import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.data.origins import Origins
from pipeline.labels.answers import match
from pipeline.labels.columns import read_columns
from pipeline.labels.given import write_given
from pipeline.labels.layout import Format
from pipeline.labels.store import LabelsHeader, open_labels
from pipeline.report.soft_labels import likeliest

ROOM = 40 << 20  # bytes beyond what the imports have taken; 8 MiB of it are the stack of the thread that writes
COUNT, CLASSES = 100_000, 200  # 80 MB a view in float32
NAMES = tuple(f"class {number}" for number in range(CLASSES))
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")


class Killed(Exception):
    """Stands for the end of a process."""


def answered(v: int, rows_B: np.ndarray) -> Tensor:
    """Logits that are made when asked for."""
    row_BC, class_BC = np.meshgrid(rows_B.astype(np.float32), np.arange(CLASSES, dtype=np.float32), indexing="ij")
    return torch.from_numpy((row_BC * (v + 1) + 7 * class_BC) % 13)


def labelled(folder: Path) -> None:
    """Written until a kill, gone on with, opened, read by rows, in pieces, and as the report does."""
    assert 4 * COUNT * CLASSES > 1.5 * ROOM
    header = LabelsHeader("t", "t" * 64, "d" * 64, {"count": COUNT}, NAMES, COUNT, 1, Format("dense", "float32"))
    labels, parts = folder / "labels", folder / "parts"
    labels.mkdir()
    parts.mkdir()

    def killed(v: int, rows_B: np.ndarray) -> Tensor:
        if v == 1 and rows_B[-1] > 0.9 * COUNT:
            raise Killed
        return answered(v, rows_B)

    with pytest.raises(Killed):
        write_given(killed, header, labels, parts)
    written = write_given(answered, header, labels, parts)
    found = open_labels(labels, recorded=written, data_hash="d" * 64, views={"count": COUNT}, classes=NAMES)
    rows_B = np.random.default_rng(0).integers(0, COUNT, 128)
    assert torch.equal(found.rows(1, rows_B), answered(1, rows_B))
    assert sum(len(likeliest(z_BC.numpy())[0]) for z_BC in found.pieces(1)) == COUNT


def _matched(path: Path, rows: int) -> None:
    few = np.arange(3)
    origins = Origins({"train": np.arange(rows), "validation": few, "test": few}, rows, None)
    answers = match(read_columns(path, "file"), origins, NAMES, 0, {}, "file")
    rows_B = np.arange(rows - 5000, rows)
    assert torch.equal(answers.rows(0, rows_B), answered(0, rows_B))


def from_numpy(folder: Path) -> None:
    _matched(folder / "plain.npz", COUNT)


def from_compressed(folder: Path) -> None:
    _matched(folder / "compressed.npz", COUNT)


def _within(work: Callable[[Path], None], folder: str, output: str) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    answered(0, np.arange(9)).log_softmax(1)
    status = Path("/proc/self/status").read_text().splitlines()
    (now,) = (int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (now + ROOM, resource.RLIM_INFINITY))
    try:
        work(Path(folder))
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def run(work: Callable[[Path], None], folder: Path) -> None:
    """In a process of its own, within the limit."""
    arguments: tuple[Any, ...] = (work, str(folder), str(folder / "said"))
    process = multiprocessing.get_context("spawn").Process(target=_within, args=arguments)
    process.start()
    process.join(300)
    assert process.exitcode == 0, (folder / "said").read_text()


@pytest.mark.long
def test_a_label_set_larger_than_the_memory_is_written_and_read(tmp_path: Path) -> None:
    run(labelled, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("work", [from_numpy, from_compressed])
def test_a_file_of_answers_larger_than_the_memory_is_taken(tmp_path: Path, work: Callable[[Path], None]) -> None:
    content = {"number": np.arange(COUNT), "logits": answered(0, np.arange(COUNT)).numpy()}
    if work is from_numpy:
        np.savez(tmp_path / "plain.npz", **content)
    else:
        np.savez_compressed(tmp_path / "compressed.npz", **content)
    run(work, tmp_path)
