"""The tables of what has run so far, of all that is planned."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.lineage import results, runtimes, tables
from pipeline.planning.specs import spec
from pipeline.planning.specs.readers import SummarySpec
from pipeline.planning.specs.slots import SkipSpec


@dataclass(frozen=True)
class Gathered:
    """Tables, each as cells, header first; missing: nodes that are planned and not made yet, in few words."""

    tables: list[list[tuple[str, ...]]]
    missing: list[str]


def gather(measured: Iterable[Path] = ()) -> Gathered:
    """Read all networks of the plan that are there.

    measured: files with what `check.py` printed elsewhere.

    Raises:
        UserError: Nothing is planned, there is no network yet, or a file holds something else.
    """
    there, missing = results.made(spec.read_spec("summary", SummarySpec).nodes)
    table = results.rows(there)
    if not table:
        raise UserError("nothing has run yet: run `dvc repro`")
    asked = [name for name in missing if spec.read_spec_if(name, SkipSpec) is None]
    shown = [results.lines(table), tables.lines(table), runtimes.lines(table, measured)]
    return Gathered([cells for cells in shown if cells], [*results.in_runs(asked)])
