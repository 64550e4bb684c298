"""Answers of threads come in the order of the items, and no more of them are held than is allowed."""

import os
import threading
from collections.abc import Iterator

import pytest

from pipeline.data.ahead import AHEAD, cores, in_order


def test_answers_come_in_order_whichever_is_ready_first() -> None:
    ready = [threading.Event() for _ in range(4)]

    def answer(item: int) -> int:
        if item < 3:
            assert ready[item + 1].wait(20)  # each waits for the one after it
        ready[item].set()
        return item * item

    assert [*in_order(answer, range(4), 4)] == [0, 1, 4, 9]


def test_without_threads_each_is_done_when_it_is_asked_for() -> None:
    begun = []
    answers = in_order(lambda item: begun.append(item) or threading.get_ident(), range(3), 0)
    assert next(answers) == threading.get_ident() and begun == [0]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_no_more_are_begun_than_may_be_held(threads: int) -> None:
    begun = []
    answers = in_order(lambda item: begun.append(item) or item, range(50), threads)
    for taken in range(50):
        assert next(answers) == taken
        assert len(begun) <= taken + AHEAD * threads
    assert next(answers, None) is None


def test_items_are_taken_as_they_are_needed() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    answers = in_order(str, items(), 2)
    assert next(answers) == "0"
    assert len(drawn) == 2 * AHEAD


def test_an_error_comes_in_its_place_and_ends_it() -> None:
    begun = []

    def answer(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    answers = in_order(answer, range(100), 1)
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(answers)
    assert len(begun) <= 2 + AHEAD


def test_a_process_that_may_use_one_core_has_one() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
