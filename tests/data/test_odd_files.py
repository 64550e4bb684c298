"""A folder of odd files: each is read as what it shows, or refused with a reason, and no program is started for it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.decode import NotDecoded, decode
from tests.data.folders import NEEDS_HEIF
from tests.data.odd import HEIC, ODD, Odd

ALL = [
    *(pytest.param(odd, id=ascii(odd.name)) for odd in ODD),
    *(pytest.param(odd, id=odd.name, marks=NEEDS_HEIF) for odd in HEIC),
]
STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork")
watched: list[str] | None = None


def note(event: str, _: tuple[object, ...]) -> None:
    if watched is not None and event in STARTS:
        watched.append(event)


sys.addaudithook(note)


@pytest.fixture
def started() -> Iterator[list[str]]:
    """The programs that Python has started since."""
    global watched
    watched = []
    yield watched
    watched = None


def test_there_are_many_and_no_two_of_one_name() -> None:
    assert len(ODD) >= 90
    assert len({odd.name for odd in (*ODD, *HEIC)}) == len(ODD) + len(HEIC)


@pytest.mark.parametrize("odd", ALL)
def test_each_is_read_or_refused(odd: Odd, tmp_path: Path, started: list[str]) -> None:
    path = tmp_path / odd.name
    path.write_bytes(odd.content())
    for content in (path, path.read_bytes()):
        if odd.shows is None:
            for size in (None, 8):
                with pytest.raises(NotDecoded) as refused:
                    decode(content, mode="RGB", size=size)
                reason = str(refused.value)
                assert reason and reason.startswith(odd.reason)
                assert "\n" not in reason and str(tmp_path) not in reason
        else:
            whole_CHW = decode(content, mode="RGB", size=None)
            assert whole_CHW.shape[1:] == odd.shape
            for found_CHW in (whole_CHW, decode(content, mode="RGB", size=8)):
                shown_C = np.median(found_CHW.astype(int), axis=(1, 2))
                assert abs(shown_C - odd.shows).max() <= odd.within, shown_C
            assert decode(content, mode="L", size=8).shape == (1, 8, 8)
    assert not started
