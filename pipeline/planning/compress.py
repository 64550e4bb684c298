"""The specs of the compress chain: steps on a trained network, in the order that params.yaml names."""

from dataclasses import replace
from typing import Any

from pipeline.base.errors import UserError
from pipeline.config.compress import Compress, Fresh, Step
from pipeline.config.extension import STEPS
from pipeline.config.network import ChainSection, MutualSection, TrainingSection
from pipeline.config.section import unknown
from pipeline.config.term import has_logits, needs_teacher
from pipeline.planning import graph, units
from pipeline.planning.parts import carry, skip
from pipeline.planning.planner import Planner, given, weights_file
from pipeline.planning.specs.compress import ComputeStepSpec, StepSpec, TrainStepSpec
from pipeline.planning.specs.spec import NodeSpec
from pipeline.planning.specs.training import GridSettings, TuneSettings
from pipeline.planning.units import code

NETWORKS = ("teacher", "baseline", "direct", "student", "refined", "mutual")


def steps(planner: Planner) -> dict[str, NodeSpec]:
    """One spec a slot, each step on the result of the one before; what is beyond the order carries.

    Raises:
        UserError: The order is longer than the slots, or the chain cannot start where it should.
    """
    section = planner.params.compress
    _check_edges(planner)
    if section is None:
        return {(name := f"compress/{slot}"): skip(name) for slot in graph.slots(planner.stages, "compress")}
    graph.check_length(planner.stages, "compress", len(section.order), "compress.order")
    _check_start(planner, section)
    specs: dict[str, NodeSpec] = {}
    previous, architecture = section.start, _architecture(planner, section.start)
    for number, slot in enumerate(graph.slots(planner.stages, "compress")):
        name = f"compress/{slot}"
        if number < len(section.order):
            step = section.steps[section.order[number]]
            architecture = step.architecture if isinstance(step, Fresh) else architecture
            assert architecture is not None
            specs[name] = _step(planner, section, name, number, previous, architecture)
        else:
            specs[name] = carry(name, previous)
        previous = name
    return specs


def _step(
    planner: Planner, section: Compress, name: str, number: int, previous: str, architecture: dict[str, Any]
) -> StepSpec:
    """The spec of one step; of its architecture only the code counts, but where it makes a fresh network."""
    step = section.steps[section.order[number]]
    common = {
        "node": name,
        "step": section.order[number],
        "kind": step.kind,
        "previous": previous,
        "continues_chain": number > 0,
        "has_logits": True,
        "labels": planner.labels(),
        "select": planner.select,
    }
    used = units.step(step.kind) | units.REBUILDING | units.model(architecture)
    settings = _given(step)
    if not isinstance(step, TrainingSection):
        return ComputeStepSpec(
            **common,
            settings=settings,
            images=planner.forward(),
            about=planner.about() if step.makes == "shipped" else None,
            code={"stage": code(units.stage("compress") | used)},
        )
    fresh = step.makes == "fresh"
    teacher = previous if fresh else section.teacher
    seed = planner.seed(section if step.seed is None else step, _role(section, number))
    where = f"compress.steps.{section.order[number]}"
    # What tunes has the architecture and the input of the node before, whatever was done to it.
    input, initial = (given(step.input), weights_file(step.initial)) if isinstance(step, Fresh) else (None, None)
    training = planner.training(step, teacher, architecture if fresh else None, input, initial, seed=seed, where=where)
    if not fresh:
        bits = {key: settings.pop(key, None) for key in ("weight_bits", "activation_bits")}
        training = TuneSettings(**vars(training), bits=GridSettings(**bits) if step.on_grids else None)
    return TrainStepSpec(
        **common,
        teacher=teacher if needs_teacher(step.objective) else None,
        training=replace(training, settings=settings or None),
        initial=None if fresh else previous,
        code=planner.codes("compress", step, used | units.start(initial)),
    )


def _given(step: Step) -> dict[str, Any]:
    """Its settings, less those that are null and would be without being given."""
    fields = STEPS.settings(step.kind).model_fields
    return {key: value for key, value in step.settings.items() if value is not None or fields[key].default is not None}


def _role(section: Compress, number: int) -> str:
    """What its seed is for: a step that comes again learns in another order."""
    times = section.order[: number + 1].count(section.order[number])
    return f"compress/{section.order[number]}" + (f"/{times}" if times > 1 else "")


def _check_edges(planner: Planner) -> None:
    """Also of a chain that is off: DVC reads where it would start."""
    section, edges = planner.params.compress, planner.params.edges
    starts = (section.start, section.teacher) if section else (edges.compress, edges.compress_teacher)
    names = [*NETWORKS, *_trained(planner), "ensemble"]
    for key, name in zip(("edges.compress", "edges.compress_teacher"), starts, strict=True):
        if section:
            planner.check_on(key, name, "set compress to null, too")
        if name not in names:
            raise UserError(f"params.yaml: {key}: {unknown('network', name, names)}")


def _check_start(planner: Planner, section: Compress) -> None:
    chosen = [section.steps[name] for name in section.order]
    if section.start == "ensemble" and chosen and chosen[0].makes != "fresh":
        raise UserError(
            "params.yaml: edges.compress is ensemble, which has no weights to work on: let the first step of "
            "compress.order distil"
        )
    if planner.is_foreign(section.start) and chosen and chosen[0].makes != "fresh":
        raise UserError(
            f"params.yaml: edges.compress is {section.start}, which {planner.foreign} gives without weights of ours to "
            "work on: let the first step of compress.order distil, or name a network that is trained here"
        )


def _trained(planner: Planner) -> list[str]:
    """The slots that params.yaml trains, and whose networks have logits."""
    params = planner.params
    lengths = {
        "assistant": params.assistant.links,
        "refinery": params.refinery.generations if params.refinery else 0,
        "born_again": params.born_again.generations if params.born_again else 0,
    }
    chains = [
        f"{family}/{slot}"
        for family, length in lengths.items()
        for slot in graph.slots(planner.stages, family)[:length]
    ]
    return chains + [f"method/{name}" for name, method in params.method.items() if has_logits(method.objective)]


def _architecture(planner: Planner, name: str) -> dict[str, Any] | None:
    """Of any network that params.yaml trains; None of the ensemble, and of a teacher that is no network of ours."""
    params = planner.params
    family, _, slot = name.partition("/")
    if name == "ensemble" or planner.is_foreign(name):
        return None
    if family == "method":
        return params.method[slot].architecture
    if family == "mutual":
        mutual: MutualSection = getattr(params, family)
        return mutual.architectures[f"p{mutual.carries}"]
    if family in ("refinery", "born_again"):
        chain: ChainSection = getattr(params, family)
        return planner.of_chain(family, chain)[0]
    return planner.architecture("compress", name)[0]
