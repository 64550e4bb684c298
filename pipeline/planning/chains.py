"""The specs of chains: teacher assistants, and the generations of the refinery and of the born-again networks."""

from dataclasses import replace

from pipeline.base.errors import UserError
from pipeline.config.network import ChainSection
from pipeline.config.section import unknown
from pipeline.planning import graph
from pipeline.planning.parts import carry, skip
from pipeline.planning.planner import Planner, given, weights_file
from pipeline.planning.specs.spec import NodeSpec
from pipeline.planning.specs.training import StopRule

STARTS = ("teacher", "baseline", "direct", "student", "refined", "ensemble")


def assistants(planner: Planner) -> dict[str, NodeSpec]:
    """Each link learns from the one before, the first from the teacher."""
    section = planner.params.assistant
    graph.check_length(planner.stages, "assistant", section.links, "assistant.links")
    slots = graph.slots(planner.stages, "assistant")
    for slot in section.architectures:
        if slot not in slots:
            raise UserError(f"params.yaml: assistant.architectures: {unknown('slot', slot, slots)}")
    specs: dict[str, NodeSpec] = {}
    previous = "teacher"
    for number, slot in enumerate(slots, start=1):
        name = f"assistant/{slot}"
        if number <= section.links:
            architecture, input = section.architectures[slot], given(section.inputs.get(slot))
            initial = weights_file(section.initials.get(slot))
            specs[name] = planner.train(name, section, previous, architecture, input, number > 1, initial)
        else:
            specs[name] = carry(name, previous)
        previous = name
    return specs


def generations(planner: Planner, family: str, section: ChainSection | None) -> dict[str, NodeSpec]:
    """Each generation learns from the one before, the first from what the chain starts from; a chain may be off."""
    _check_start(planner, family, section)
    if section is None:
        return {(name := f"{family}/{slot}"): skip(name) for slot in graph.slots(planner.stages, family)}
    graph.check_length(planner.stages, family, section.generations, f"{family}.generations")
    # A chain of no links carries a teacher of whatever kind.
    carries_only = section.generations == 0 and planner.is_foreign(section.start)
    architecture, input, initial = ({}, None, None) if carries_only else planner.of_chain(family, section)
    rule = StopRule(patience=section.patience, min_gain=section.min_gain)
    specs: dict[str, NodeSpec] = {}
    previous = section.start
    for number, slot in enumerate(graph.slots(planner.stages, family), start=1):
        name = f"{family}/{slot}"
        if number <= section.generations:
            spec = planner.train(name, section, previous, architecture, input, number > 1, initial)
            specs[name] = replace(spec, stop=rule) if number > 1 else spec
        else:
            specs[name] = carry(name, previous)
        previous = name
    return specs


def _check_start(planner: Planner, family: str, section: ChainSection | None) -> None:
    """Also of a chain that is off: DVC reads where it would start."""
    params = planner.params
    refinery, born_again = (planner.start(each) for each in ("refinery", "born_again"))
    start = refinery if family == "refinery" else born_again
    links = [f"assistant/t{n}" for n in range(1, params.assistant.links + 1)]
    allowed = [name for name in (*STARTS, *links) if family == "born_again" or name != "refined"]
    allowed = [name for name in allowed if family == "refinery" or name != "ensemble"]
    if start not in allowed:
        raise UserError(f"params.yaml: edges.{family} is {start!r}, must be one of {', '.join(allowed)}")
    if (refinery, born_again) == ("ensemble", "refined"):
        raise UserError(
            "params.yaml: edges.refinery is ensemble and edges.born_again is refined, so that each would wait for "
            "the other: let one of them start from teacher, baseline, direct or student"
        )
    if section is not None:
        planner.check_on(f"edges.{family}", start, f"set {family} to null, too")
