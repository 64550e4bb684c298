"""What a person sees: a stage's words in one piece, and in a terminal a line for each that runs."""

import io
import re
import time
from dataclasses import dataclass

import pytest

from pipeline.engines import screen
from tests.console.hostile import HOSTILE, check


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Fake:
    stage: str
    words: str
    began: float

    def newest(self) -> str:
        return self.words


def show(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "60"), ("LINES", "20")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream)
    with screen.showing(3) as shown:
        shown.begins("teacher")
        now = time.monotonic()
        shown.draw([Fake("teacher", "epoch 3 of 20 [1/2], " + "long " * 20, now - 5), Fake("baseline", "", now)])
        shown.ends("\x1b[31mRunning\x1b[0m stage 'teacher':\n" + "word " * 20 + "\n")
        shown.draw([])
    return stream.getvalue()


def test_through_a_pipe_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    said = show(monkeypatch, io.StringIO())
    assert said == f"teacher begins, 0 of 3 are through\nRunning stage 'teacher':\n{'word ' * 19}word\n\n"


@pytest.mark.parametrize("colour", [True, False])
def test_in_a_terminal_what_runs_stands_below(monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    said = show(monkeypatch, Terminal())
    assert "teacher       5 s  epoch 3 of 20 [1/2], long long long long…" in said
    assert "baseline      1 s" in said
    assert "0 of 3 are through" in said
    assert "1 of 3 are through" in said
    assert "word " * 19 + "word" in said, "what a stage said is not wrapped"
    assert ("\x1b[31m" in said) is colour


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_of_a_stages_output_only_colours_are_obeyed(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for name, value in (("TERM", "xterm"), ("COLUMNS", "300")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream)
    line = HOSTILE.replace("\n", "").replace("\r", "")  # a stage's output has lines, and bars of progress
    with screen.showing(2) as shown:
        shown.begins(line)
        shown.waits(line, line)
        shown.draw([Fake(line, line, time.monotonic())])
        shown.ends(f"\x1b[31m{line}\x1b[8m\x1b]8;;http://x\x1b\\\r 50 %\r100 %\r\n")
    said = re.sub(r"\x1b\[(\d*[KA]|\?25[lh])|\r", "", stream.getvalue())  # rich's, of a live line
    check(said)
    assert r"\x1b[8m\x1b]8;;http://x\x1b" in said
    assert "\n 50 %\n100 %\n" in said
    assert "[/x][bold]:smile:" in said
