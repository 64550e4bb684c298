"""The spec of the report: what the page shows, and what it says of how that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.base import files
from pipeline.base.paths import CODE
from pipeline.planning.specs import Spec

if TYPE_CHECKING:
    from pipeline.planning.build import Planner

TEMPLATES = CODE / "pipeline" / "report" / "templates"


def page(planner: Planner, nodes: list[str]) -> Spec:
    """The report of `nodes`, in the order of the lineage."""
    params = planner.params
    chains = {"refinery": params.refinery, "born_again": params.born_again}
    content = {
        "nodes": nodes,
        "chains": {
            family: {"from": each.start, "generations": each.generations, "patience": each.patience}
            for family, each in chains.items()
        },
        **planner.about(),
        "views": params.views.model_dump(mode="json"),
        "views_seed": params.seeds.views,
        # The code's fingerprint sees Python only.
        "templates": {path.name: files.sha256(path) for path in sorted(TEMPLATES.iterdir())},
    }
    return planner.reader("report", content)
