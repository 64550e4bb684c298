"""Processes that decode and cut views beside a GPU: threads of one process hold each other up, by Python's lock.

Each has memory in common with this process, where its views come back, and all of them share the memory where decoded
pictures are kept, if they all fit there. They end with this process, however it ends.

Legend: B rows of a batch, K rows of a request, R renderings, C channels, S edge of a view.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.data import cutting
from pipeline.data.cutting import LENGTH, MOST, CutSettings
from pipeline.data.encoded import EncodedImages

ENDING = 2.0  # seconds that a process has to end by itself


class Cutters:
    """As many processes as `images` has threads, begun when they are first needed.

    Args:
        images: As they are stored.
        sizes: Edges of a view, of each rendering.
        keep: Whether pictures are kept once they are decoded.
    """

    def __init__(self, images: EncodedImages, sizes: Sequence[int], keep: bool) -> None:
        self._images = images
        self._sizes = sizes
        shapes_N = images.sizes.prod(axis=1) * images.shape[1]
        self._starts_N = np.concatenate([[0], np.cumsum(shapes_N + 1)])  # a byte says that a picture is there
        self._kept = _memory(int(self._starts_N[-1])) if keep else None
        self._begun = Lock()
        self._idle: SimpleQueue[_Cutter] | None = None
        self._pool = ThreadPoolExecutor(images.threads)

    def cut(self, rows_B: np.ndarray, boxes_RB4: np.ndarray) -> list[np.ndarray]:
        """The crops of pictures, in each rendering; uint8 (B, C, S, S). Several threads may ask at a time.

        boxes_RB4: upper, left, height and width in whole pixels.

        Raises:
            UserError: A shard is not what was prepared, or a process has ended.
        """
        self._images.verify(rows_B)
        idle = self._ready()
        channels = self._images.shape[1]
        cut_R = [np.empty((len(rows_B), channels, size, size), np.uint8) for size in self._sizes]
        step = max(1, min(MOST, len(rows_B) // self._images.threads))

        def several(start: int) -> None:
            at_K = slice(start, start + step)
            asked_K = np.empty(len(rows_B[at_K]), self._asked(0).row)
            asked_K["place"] = self._images.places(rows_B[at_K])
            asked_K["kept"] = self._starts_N[rows_B[at_K]]
            asked_K["boxes"] = boxes_RB4[:, at_K].transpose(1, 0, 2)
            cutter = idle.get()
            try:
                for all_BCSS, view_KCSS in zip(cut_R, cutter.cut(asked_K), strict=True):
                    all_BCSS[at_K] = view_KCSS
            finally:
                idle.put(cutter)

        for _ in self._pool.map(several, range(0, len(rows_B), step)):
            pass
        return cut_R

    def _asked(self, views: int) -> CutSettings:
        images, kept = self._images, self._kept
        more = {"kept": kept, "kept_bytes": int(self._starts_N[-1])}
        return CutSettings(str(images.folder.resolve()), images.shape[1], images.background, self._sizes, views, **more)

    def _ready(self) -> SimpleQueue[_Cutter]:
        with self._begun:
            if self._idle is None:
                self._idle = SimpleQueue()
                cutters = [_Cutter(self._asked(_memory(self._asked(0).bytes))) for _ in range(self._images.threads)]
                weakref.finalize(self, _end, cutters, self._kept)
                for each in cutters:
                    self._idle.put(each)
        return self._idle


class _Cutter:
    """One process, and the memory where its views come back."""

    def __init__(self, asked: CutSettings) -> None:
        self._views_RKCSS = asked.arrays(mmap.mmap(asked.views, asked.bytes))
        more = os.environ.get("PYTHONPATH")
        self.process = subprocess.Popen(
            [sys.executable, "-m", cutting.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[each for each in (asked.views, asked.kept) if each is not None],
            env=os.environ | {"PYTHONPATH": f"{CODE}{os.pathsep}{more}" if more else str(CODE)},
        )
        os.close(asked.views)
        self._send(asked.encode())

    def cut(self, asked_K: np.ndarray) -> list[np.ndarray]:
        """Views of these rows, of each rendering (K, C, S, S): they stand until the next request."""
        self._send(LENGTH.pack(len(asked_K)) + asked_K.tobytes())
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        if length:
            raise UserError(self._read(length).decode())
        return [view_KCSS[: len(asked_K)] for view_KCSS in self._views_RKCSS]

    def _send(self, content: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(content)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._has_ended() from None

    def _read(self, count: int) -> bytes:
        assert self.process.stdout
        found = self.process.stdout.read(count)
        if len(found) < count:
            raise self._has_ended()
        return found

    def _has_ended(self) -> UserError:
        return UserError(
            f"a process that decodes images has ended with status {self.process.wait()}, as where memory is short: "
            "run the command again, it goes on where it was"
        )


def _memory(count: int) -> int:
    """So many bytes that processes may share, empty, by a file descriptor: gone when the last one has closed it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("views")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, count)
    return descriptor


def _end(cutters: Sequence[_Cutter], kept: int | None) -> None:
    if kept is not None:
        os.close(kept)
    for each in cutters:
        for stream in (each.process.stdin, each.process.stdout):
            with suppress(OSError):  # what was not taken is lost with the process
                if stream:
                    stream.close()
    for each in cutters:
        try:
            each.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()
