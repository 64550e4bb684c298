"""What others named is shown in one line, without effect, and can be read back by a program."""

import json
import os
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.console.text import UNSEEN, code, json_line, markdown, named, row, visible, visible_lines, word
from tests.console.hostile import HOSTILE, check

ESCAPE = re.compile(r"\\(?:([tnr\\])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
SHORT = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def read_back(cell: str) -> str:
    """The cell of a row, by the rule that its docstring gives."""

    def one(found: re.Match[str]) -> str:
        short, byte, *numbers = found.groups()
        if short:
            return SHORT[short]
        if byte:
            return os.fsdecode(bytes([int(byte, 16)]))
        return chr(int(next(filter(None, numbers)), 16))

    return ESCAPE.sub(one, cell)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain näme, 日本 [x] \\d", "plain näme, 日本 [x] \\d"),
        ("a\tb\nc\rd", r"a\tb\nc\rd"),
        ("\x1b[2J\x07\x7f", r"\x1b[2J\x07\x7f"),
        ("\x9b31m", r"\u009b31m"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("a\u200bb\ufeff\u00ad", r"a\u200bb\ufeff\u00ad"),
        (os.fsdecode(b"\xff\x9b"), r"\xff\x9b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("", ""),
    ],
)
def test_a_person_sees_what_is_there(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown, "what is visible stays as it is, however often it is shown"


def test_whatever_unicode_calls_a_control_or_a_mark_of_direction_is_escaped() -> None:
    """The list is closed, so that it does not change with Python; here it is held against Python's."""
    every = [chr(number) for number in range(0x110000)]
    unseen = {
        each
        for each in every
        if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(each) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN")
        or "ZERO WIDTH" in unicodedata.name(each, "")
    }
    noncharacters = {each for each in unseen if ord(each) & 0xFFFE == 0xFFFE}
    assert unseen - noncharacters <= {each for each in every if UNSEEN.match(each)}


def test_lines_of_ours_stay_lines() -> None:
    assert visible_lines("a\n\x1bb\n") == "a\n\\x1bb\n"


@pytest.mark.parametrize(("name", "shown"), [("", '""'), (" ", '" "'), (" a", '" a"'), ("a b", "a b"), ("\n", r'"\n"')])
def test_a_blank_name_stands_in_quotes(name: str, shown: str) -> None:
    assert named(name) == shown


@given(st.lists(st.text(st.characters() | st.sampled_from("\\\t\n\rnx\udcff\x85")), min_size=1))
@example(["\\n", "\\x1b"])
def test_a_row_is_one_line_and_read_back_without_loss(cells: list[str]) -> None:
    line = row(*cells)
    assert len(line.splitlines()) <= 1
    assert [read_back(cell) for cell in line.split("\t")] == cells
    assert not UNSEEN.findall(line.replace("\t", ""))


@given(st.text(st.characters() | st.sampled_from("\n\udcff\u2028")))
def test_a_line_of_json_is_ascii_and_read_back_without_loss(name: str) -> None:
    line = json_line({"path": name})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"path": name}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat", "`cat`"),
        ("|", "`|`"),
        ("`", "`` ` ``"),
        ("a``b", "```a``b```"),
        (" ", '`" "`'),
        ("[x](javascript:y)", "`[x](javascript:y)`"),
        ("<b>\n", '`"<b>\\n"`'),
    ],
)
def test_a_name_is_code_of_markdown(name: str, shown: str) -> None:
    assert code(name) == shown
    assert word(name) == (name if name == "cat" else shown)


@pytest.mark.parametrize("name", ["fitnet_hint", "born_again/g1", "distil → prune", "T-shirt/top", "vélo (2.0)"])
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    assert word(name) == name


@pytest.mark.parametrize("name", ["www.x.y", "http://x", "@x", ":smile:", "#1", "<b>", "a&amp;b", "~a~", "x@y.z"])
def test_any_other_name_is_code(name: str) -> None:
    assert word(name) == f"`{name}`"


def test_markdown_is_shown_as_text() -> None:
    assert markdown("[x](y) | *a* _b_ `c` <d> \\") == r"\[x\](y) \| \*a\* \_b\_ \`c\` \<d\> " + "\\\\"
    assert markdown("http://x www.y.z a@b") == r"http\://x www\.y.z a\@b"
    assert markdown("fitnet_hint 0.5: 1") == r"fitnet\_hint 0.5: 1"
    check(markdown(HOSTILE))
