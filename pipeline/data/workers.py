"""Many small pieces of work on all cores, with results in their order: the number of workers shows in nothing."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")

AHEAD = 4  # pieces a worker that wait or are done before their turn


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Callable[[_Piece], _Result], pieces: Iterable[_Piece], workers: int | None = None
) -> Iterator[_Result]:
    """The results of `work`, which threads call; only a few lie in memory at a time.

    workers: threads; None: as many as there are cores. Decoders and hashes run without Python's lock.
    """
    workers = workers or cores()
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
