"""What a power cut takes: content that was not flushed, and the last renames of folders that were not.

A file system may keep a rename and lose what the file holds; it keeps the order of renames. What a process flushed
and renamed is known from the journal that `tests.faults.points` wrote.
"""

import json
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def inodes(folders: Iterable[Path]) -> set[int]:
    """Every file that is there."""
    return {path.stat().st_ino for path in _files(folders)}


def lose(folders: list[Path], old: set[int], journal: Path, draw: random.Random) -> None:
    """Take away what a power cut may, drawn at random.

    Args:
        folders: Where the process wrote.
        old: Inodes of the files that were there before it did.
        journal: What it noted.
        draw: Decides.
    """
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    flushed = old | {line["inode"] for line in lines if "inode" in line}
    for path in _files(folders):
        found = path.stat()
        if found.st_ino not in flushed and draw.random() < 0.5:
            os.truncate(path, draw.choice([0, draw.randint(0, found.st_size)]))
    unsure = [line for at, line in enumerate(lines) if "rename" in line and not _is_flushed(line, lines[at:])]
    for line in reversed(unsure[len(unsure) - draw.randint(0, len(unsure)) :]):
        source, target = line["rename"]
        if os.path.exists(target) and os.path.isdir(os.path.dirname(source)) and not os.path.exists(source):
            os.rename(target, source)
            if line["kept"]:
                os.rename(line["kept"], target)


def _is_flushed(rename: dict[str, Any], later: list[dict[str, Any]]) -> bool:
    """Whether the folder of a rename was flushed after it."""
    folder = os.path.dirname(rename["rename"][1])
    return any(line.get("fsync") == folder for line in later)


def _files(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
