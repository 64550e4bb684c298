"""The table of files that ship: each in its own runtime, as the stage ran it, and as `check.py` ran it elsewhere."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.lineage.results import Row

HEADER = (
    *("file", "runs in", "precision", "bytes", "same answers", "largest difference", "accuracy lost"),
    *("ms an image", "memory MB"),
)
ADVICE = "run `python check.py > FILE` where the file is to run, and name that"
# What `check.py` prints.
PRINTED = re.compile(
    r"(?P<other>\d+) of (?P<count>\d+) images are answered differently\s+"
    r"largest difference of a logit: (?P<apart>\S+)\s+"
    r"(?P<ms>\S+) ms an image, peak memory (?:(?P<memory>\d+) MiB|not known), (?P<runtime>[^\n]+)"
)


def lines(table: Iterable[Row], measured: Iterable[Path] = ()) -> list[tuple[str, ...]]:
    """Cells, header first: of each node that ships, a line a format, and then a line for each file of `measured`, with
    what `check.py` printed; [] where there is nothing to compare, as with one format.

    Answers are compared with the stored ones, on test, elsewhere on the examples that lie beside the file.

    Raises:
        UserError: A file of `measured` is missing, or holds something else.
    """
    elsewhere = [_elsewhere(path) for path in measured]
    found = [
        _of_stage(row.node.name, name, told, row.metrics["cost"].get("runtimes_ms", {}).get(name))
        for row in table
        if row.node.status != "carried" and (elsewhere or len(row.metrics.get("runtimes", {})) > 1)
        for name, told in row.metrics.get("runtimes", {}).items()
    ]
    return [HEADER, *found, *elsewhere] if found or elsewhere else []


def _of_stage(node: str, name: str, told: dict[str, Any], ms: float | None) -> tuple[str, ...]:
    if "not_run" in told:
        return (node, name, f"not run: {told['not_run']}", "", "", "", "", "", "")
    return (
        node,
        name,
        told["precision"],
        f"{told['bytes']:,}",
        f"{100 * told['agreement']:.2f} %",
        f"{told['maximal_difference']:.2g}",
        f"{100 * told['drop']:.2f}",
        "" if ms is None else f"{ms:.3f}",
        "",
    )


def _elsewhere(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UserError(f"--measured: {path} does not exist: {ADVICE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--measured: {path} cannot be read ({error}): {ADVICE}") from None
    found = PRINTED.search(text)
    if found is None:
        raise UserError(f"--measured: {path} is not what check.py prints: {ADVICE}")
    same = int(found["count"]) - int(found["other"])
    memory = "" if found["memory"] is None else f"{int(found['memory']) * 2**20 / 1e6:.0f}"
    answers = f"{same} of {found['count']}"
    return (path.name, found["runtime"].strip(), "", "", answers, found["apart"], "", found["ms"], memory)
