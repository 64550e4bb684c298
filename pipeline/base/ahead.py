"""A function of many items, computed by threads ahead of whoever takes the answers, in order and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def cores() -> int:
    """Of the machine, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(
    function: Callable[[Item], Answer], items: Iterable[Item], *, most: int, threads: int | None = None
) -> Iterator[Answer]:
    """Yield `function` of each item, in the order of the items.

    most: answers that are computed, or being computed, and not taken yet. threads: how many compute; None takes a core
    each. What the function raises is raised in its place, and nothing after it is begun.
    """
    waiting: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(threads or cores()) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
