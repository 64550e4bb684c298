"""params.yaml and the code, turned into one small spec a stage: what to do, with what, by which code.

A stage depends on its own spec, so it runs again exactly when something that concerns it has changed.
Nothing here imports torch: plan runs at every `dvc repro`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.base.paths import resolve
from pipeline.config.extension import SOURCES
from pipeline.config.network import NetworkSection
from pipeline.config.params import Params
from pipeline.planning import chains, compress, foreign, methods, readers, units
from pipeline.planning.asked_views import asked_views
from pipeline.planning.parts import skip
from pipeline.planning.planner import Planner, weights_file
from pipeline.planning.specs import cpu
from pipeline.planning.specs.cpu import CpuSpec
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.prepare import PrepareSpec
from pipeline.planning.specs.sharing import SharingSpec
from pipeline.planning.specs.spec import NodeSpec, Spec
from pipeline.planning.units import code

GROUPLESS = ("imagefolder", "webdataset", "parquet", "huggingface")  # sources without groups but by a key


def build(params: Params, stages: dict[str, Any]) -> dict[str, Spec]:
    """One spec a stage, by node name, in the order of the lineage.

    Raises:
        UserError: A chain is longer than its slots, or an edge or objective does not make sense.
    """
    planner = Planner(params, stages)
    specs: dict[str, Spec] = {
        "prepare": prepare(planner),
        "teacher": teacher(planner),
        **chains.assistants(planner),
        "student": alone(planner, "student", params.student, planner.last("assistant")),
        "baseline": alone(planner, "baseline", params.baseline, None),
        "direct": alone(planner, "direct", params.direct, "teacher"),
        **chains.generations(planner, "refinery", params.refinery),
        "refined": readers.refined(planner),
        **chains.generations(planner, "born_again", params.born_again),
        "ensemble": readers.ensemble(planner),
        **methods.methods(planner),
        "mutual": methods.mutual(planner),
        **compress.steps(planner),
    }
    specs = asked_views(specs, params)
    shown = networks(specs)
    specs["summary"] = readers.summary(planner, shown)
    specs["report"] = readers.report(planner, shown)
    specs["machine"] = MachineSpec(**params.machine.model_dump(exclude={"share_state", "cpu"}))
    if params.machine.share_state:
        specs["sharing"] = SharingSpec(share_state=True)
    if params.machine.cpu is not None:
        specs[cpu.NAME] = CpuSpec(instructions=params.machine.cpu)
    return specs


def alone(planner: Planner, name: str, section: NetworkSection | None, teacher: str | None) -> NodeSpec:
    """A network that is no slot of a chain; skipped where its section is null."""
    return planner.network(name, section, teacher) if section else skip(name)


def networks(specs: Mapping[str, Spec]) -> list[str]:
    """The nodes that are networks of the lineage, as the kind of their spec says."""
    return [name for name, spec in specs.items() if isinstance(spec, NodeSpec)]


def prepare(planner: Planner) -> PrepareSpec:
    """The images; those of a folder are listed, so that a changed one is noticed."""
    data = planner.params.data
    listed = SOURCES.helper(data.source, "files")
    # A manifest may have a column of groups, and a source of the user's some of its own.
    groupless = data.source in GROUPLESS or "group" in (SOURCES.constant(data.source, "WITHOUT") or ())
    has_groups = data.group or data.settings.get("group_column") or not groupless
    used = units.source(data.source) | units.ENCODE | (units.GROUPS if has_groups else {})
    return PrepareSpec(
        node="prepare",
        data=data.model_dump(mode="json"),
        seed=planner.params.seeds.data,
        files=listed(resolve(data.root), **data.settings) if listed else None,
        code={"stage": code(units.stage("prepare") | used)},
        origins=True if planner.params.teacher.answers else None,
    )


def teacher(planner: Planner) -> NodeSpec:
    """The first network of the lineage, trained or imported, or what answers in its place."""
    section = planner.params.teacher
    if section.foreign:
        return foreign.teacher(planner)
    spec = planner.network("teacher", section, None)
    if section.weights is None:
        return spec
    weights = weights_file(section.weights)
    used = units.model(section.architecture) | units.start(weights)
    return replace(spec, weights=weights, code=planner.codes("teacher", section, used))
