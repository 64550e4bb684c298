"""Work of threads on a row of things, a few ahead of whoever takes the results."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")

AHEAD = 2  # things a thread, in work or waiting to be taken


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[[_Thing], _Result], things: Iterable[_Thing], threads: int
) -> Generator[_Result, None, None]:
    """`map(function, things)` by threads, with no more than `AHEAD` results a thread in memory.

    An error of `function` is raised where its result would come; what has begun by then is waited for. Without threads
    it is done when it is asked for.
    """
    if not threads:
        yield from map(function, things)
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[_Result]] = deque()
        try:
            for thing in things:
                begun.append(pool.submit(function, thing))
                if len(begun) >= AHEAD * threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for each in begun:
                each.cancel()
