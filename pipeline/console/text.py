"""Text that others wrote, so that it can only be read: file names, class names, strings of params.yaml, messages of
libraries.

`visible` and `named` are for a person, `row` and `json_line` for a program, `markdown` and `code` for a Markdown file.
"""

import json
import re
from typing import Any

# What moves the cursor, colours, turns or hides text: control characters (C0, DEL, C1), the separators of lines and
# paragraphs, bytes of a file name that are no UTF-8 (surrogates, PEP 383), and what Unicode gives no glyph
# (Default_Ignorable_Code_Point of DerivedCoreProperties.txt: zero-width ones, marks of direction, variation selectors,
# tags; also the interlinear marks). The list is closed: that of Python's `unicodedata` changes with its version.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~$&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)  # Markdown's own, and of bare links
HARMLESS = re.compile(r"[\w/+,.'() →÷×-]*")  # what Markdown makes nothing of within a line
FENCE = re.compile("`+")


def visible(text: str) -> str:
    r"""The text in one line, with escapes for all that would not be seen: `\n`, `\x1b`, `\u202e`; `\xff` is a byte."""
    return UNSEEN.sub(lambda found: _escape(found[0]), text)


def visible_lines(text: str) -> str:
    """The same of a text of ours that has several lines, which stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def named(name: str) -> str:
    """A name that stands alone: in quotes where it is empty, or begins or ends with a space."""
    return visible(name) if name and name == name.strip() else f'"{visible(name)}"'


def row(*cells: str) -> str:
    r"""Cells with tabs between them, for a program: a backslash is written `\\`, what is not seen as by `visible`.

    So each row is one line of as many cells, and each cell can be read back without loss.
    """
    return "\t".join(visible(cell.replace("\\", r"\\")) for cell in cells)


def json_line(value: Any) -> str:
    r"""A value as JSON in one line of ASCII; the byte ff of a file name is `\udcff`, as `os.fsdecode` gives it."""
    return json.dumps(value)


def markdown(text: str) -> str:
    """Text with Markdown's own characters escaped, so that it is shown as it is."""
    return SPECIAL.sub(r"\\\g<0>", visible(text))


def code(name: str) -> str:
    """A name as code of Markdown, in which nothing has a meaning: neither tags nor links, mentions, or emphasis."""
    name = named(name)
    fence = "`" * (1 + max((len(found[0]) for found in FENCE.finditer(name)), default=0))
    edge = " " if name.startswith("`") or name.endswith("`") else ""
    return f"{fence}{edge}{name}{edge}{fence}"


def word(name: str) -> str:
    """A name within a line of Markdown: as it is where that is harmless, else as code."""
    name = named(name)
    return name if HARMLESS.fullmatch(name) and "www." not in name.lower() else code(name)


def _escape(character: str) -> str:
    number = ord(character)
    if character in SHORT:
        return SHORT[character]
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    # \x80 to \x9f are bytes, so that control characters of that number are told from them.
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
