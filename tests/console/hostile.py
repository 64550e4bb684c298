"""A name that tries everything, and what must not be left of it."""

from pipeline.console.text import UNSEEN

# Clears the screen, rings, colours by C1, turns and hides text, is markup of rich, forges a cell and a line, is a byte
# that is no UTF-8, and a table's border, code, a tag and a link in Markdown.
HOSTILE = "evil\x1b[2J\x07\x9b31m\u202e\u200b\u2066[/x][bold]:smile:\t\\\nforged\r\udcff|`<b>[x](javascript:y)"
FILE = HOSTILE.replace("/", "")  # the one character of these that no file's name can have


def check(printed: str, *allowed: str) -> None:
    """That the name was printed, as text, and did nothing else; `allowed`: characters of ours beside the line break."""
    assert "evil" in printed
    assert not {*UNSEEN.findall(printed)} - {"\n", *allowed}
    assert not any(line.strip().startswith("forged") for line in printed.splitlines())
