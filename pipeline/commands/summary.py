"""The tables of what has run so far, of all that is planned."""

from dataclasses import dataclass

from pipeline.base.errors import UserError
from pipeline.lineage import results, tables
from pipeline.planning.specs import spec
from pipeline.planning.specs.readers import SummarySpec
from pipeline.planning.specs.slots import SkipSpec


@dataclass(frozen=True)
class Gathered:
    """Tables, each as cells, header first; missing: nodes that are planned and not made yet, in few words."""

    tables: list[list[tuple[str, ...]]]
    missing: list[str]


def gather() -> Gathered:
    """Read all networks of the plan that are there.

    Raises:
        UserError: Nothing is planned, or there is no network yet.
    """
    there, missing = results.made(spec.read_spec("summary", SummarySpec).nodes)
    table = results.rows(there)
    if not table:
        raise UserError("nothing has run yet: run `dvc repro`")
    asked = [name for name in missing if spec.read_spec_if(name, SkipSpec) is None]
    shown = [results.lines(table), tables.lines(table)]
    return Gathered([cells for cells in shown if cells], [*results.in_runs(asked)])
