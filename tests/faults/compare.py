"""All that stages leave behind, less what a clock says."""

import csv
import hashlib
import io
import json
from pathlib import Path

TOPS = ("plan", "artifacts", "metrics", "curves")


def results(folder: Path, *below: str) -> dict[str, str]:
    """SHA-256 by path of every result file of a repository, or of some of its files and folders."""
    found = {}
    for top in below or TOPS:
        start = folder / top
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            if path.is_file():
                content = timeless(path.relative_to(folder).parts[0], path.read_bytes())
                found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def timeless(top: str, content: bytes) -> bytes:
    """A result without its timings: `cost` of metrics (and the seal, which covers it), images/s of curves."""
    if top == "metrics":
        return json.dumps({**json.loads(content), "cost": None, "seal": None}, sort_keys=True).encode()
    if top == "curves":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return json.dumps([{**row, "images_per_second": None} for row in rows]).encode()
    return content


def difference(one: dict[str, str], other: dict[str, str]) -> str:
    """The first paths that differ, in words; empty where none does."""
    paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    return ", ".join(paths[:5])
