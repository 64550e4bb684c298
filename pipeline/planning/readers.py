"""The specs of stages that read nodes and train nothing."""

from collections.abc import Sequence

from pipeline.base import files
from pipeline.base.paths import CODE
from pipeline.planning import graph, units
from pipeline.planning.parts import skip
from pipeline.planning.planner import Planner
from pipeline.planning.specs.readers import ChainSettings, EnsembleSpec, RefinedSpec, ReportSpec, SummarySpec
from pipeline.planning.specs.spec import NodeSpec
from pipeline.planning.units import code

TEMPLATES = CODE / "pipeline" / "report" / "templates"


def refined(planner: Planner) -> NodeSpec:
    """Picks the best generation of the refinery."""
    if planner.params.refinery is None:
        return skip("refined")
    return RefinedSpec(node="refined", chain=planner.last("refinery"), code={"stage": code(units.stage("refined"))})


def ensemble(planner: Planner) -> NodeSpec:
    """What to combine, and how."""
    params, chain_section = planner.params, planner.params.born_again
    if chain_section is None:
        return skip("ensemble")
    # The slots carry what the chain starts from where it has no generation.
    own, start = chain_section.architecture, chain_section.start
    carried = planner.is_foreign(start) and (own or not chain_section.generations)
    chain = None if carried else planner.architecture("born_again", start)[0]
    networks = {unit: path for each in (own, chain) if each for unit, path in units.model(each).items()}
    return EnsembleSpec(
        node="ensemble",
        members=tuple(f"born_again/{slot}" for slot in graph.slots(planner.stages, "born_again")),
        rule=params.ensemble.rule,
        labels=planner.labels(),
        forward=planner.forward(),
        select=planner.select,
        code={"stage": code(units.stage("ensemble") | networks)},
    )


def summary(planner: Planner, networks: Sequence[str]) -> SummarySpec:
    """Gathers the figures of these networks."""
    found = code(units.stage("summary"))
    return SummarySpec(node="summary", nodes=tuple(networks), code={"stage": found}, select=planner.select)


def report(planner: Planner, networks: Sequence[str]) -> ReportSpec:
    """The page that shows these networks, and what it says of how that was asked for."""
    params = planner.params
    chains = {"refinery": params.refinery, "born_again": params.born_again}
    return ReportSpec(
        node="report",
        nodes=tuple(networks),
        chains={
            family: ChainSettings(start=each.start, generations=each.generations, patience=each.patience)
            for family, each in chains.items()
            if each is not None
        },
        **planner.about(),
        views=params.views.model_dump(mode="json"),
        views_seed=params.seeds.views,
        # The code's fingerprint sees Python only.
        templates={path.name: files.sha256(path) for path in sorted(TEMPLATES.iterdir())},
        code={"stage": code(units.stage("report"))},
        select=planner.select,
    )
