"""The commands that a page of ours tells a person to give: lines of its unmarked code blocks."""

import re
from pathlib import Path


def commands(path: Path) -> list[str]:
    """All of them, in order, without their comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [
        line.split("#")[0].strip()
        for kind, text in blocks
        for line in text.splitlines()
        if not kind and re.match(r"(make|dvc|python|cohobate|\.) ", line)
    ]
