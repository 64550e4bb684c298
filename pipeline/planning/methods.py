"""The specs of the comparison: the same student by each method, and networks that teach each other."""

from dataclasses import replace

from pipeline.base.errors import UserError
from pipeline.config.section import unknown
from pipeline.planning import graph, units
from pipeline.planning.parts import skip
from pipeline.planning.planner import Planner, given, weights_file
from pipeline.planning.specs.spec import NodeSpec
from pipeline.planning.specs.training import NetworkSettings, TrainSpec
from pipeline.planning.wiring import COMMAND

UNLIMITED = "unlimited"


def methods(planner: Planner) -> dict[str, NodeSpec]:
    """The same student from the same teacher by each method; one that params.yaml does not name is skipped."""
    slots = graph.slots(planner.stages, "method")
    sections = planner.params.method
    if UNLIMITED in sections:
        raise UserError(
            f"params.yaml: method.{UNLIMITED} is the baseline with a new view at each epoch and has no settings: "
            "leave it out"
        )
    for name in sections:
        if name not in slots:
            raise UserError(
                f"params.yaml: method: {unknown('method', name, slots)}; a new one needs "
                f"`{name}: {{reads: teacher}}` in stages.method.foreach of dvc.yaml; then {COMMAND}"
            )
    specs: dict[str, NodeSpec] = {}
    for slot in slots:
        name = f"method/{slot}"
        if slot == UNLIMITED:
            specs[name] = _unlimited(planner, name)
            continue
        if slot not in sections:
            specs[name] = skip(name)
            continue
        spec = planner.network(name, sections[slot], "teacher")
        specs[name] = _after_initial(planner, slot, spec) if isinstance(sections[slot].initial, str) else spec
    return specs


def _unlimited(planner: Planner, name: str) -> NodeSpec:
    """Hard labels with a new view at each epoch, whatever number of views the others share.

    It is beside a baseline and methods, and nothing without them.
    """
    section = planner.params.baseline
    if section is None or not planner.params.method:
        return skip(name)
    spec = planner.network("baseline", section, None)
    used = units.model(section.architecture) | units.start(spec.training.initial_file)
    code = planner.codes("method", section, used)
    return replace(spec, node=name, code=code, unlimited="baseline")


def _after_initial(planner: Planner, slot: str, spec: TrainSpec) -> TrainSpec:
    """Of a method that begins with the weights of another one: the epochs of both are its budget."""
    initial = _initial(planner, slot)
    before, whole = _epochs(planner, initial.split("/")[1]), _epochs(planner, slot)
    if before >= whole:
        raise UserError(
            f"params.yaml: method.{slot}.recipe.epochs is {whole}, those of {initial} included, which has {before}: "
            "raise it, so that some are left"
        )
    recipe = {**spec.training.recipe, "epochs": whole - before}
    return replace(spec, initial=initial, training=replace(spec.training, recipe=recipe, views_before=before))


def _epochs(planner: Planner, slot: str) -> int:
    """Of a method, with those of the weights that it begins with."""
    return planner.params.method[slot].recipe.epochs


def _initial(planner: Planner, slot: str) -> str:
    """The node of the method whose weights another one begins with."""
    sections = planner.params.method
    initial = str(sections[slot].initial)
    if initial not in sections:
        raise UserError(
            f"params.yaml: method.{slot}.initial is {initial!r}, which is not in params.yaml: "
            f"give method.{initial}, or leave method.{slot} out, too"
        )
    if planner.stages["method"]["foreach"][slot].get("reads") != f"method/{initial}":
        raise UserError(
            f"params.yaml: method.{slot}.initial is {initial!r}: in dvc.yaml, "
            f"stages.method.foreach.{slot}.reads must be method/{initial}"
        )
    return f"method/{initial}"


def mutual(planner: Planner) -> NodeSpec:
    """Networks that teach each other, on the batches of the first one."""
    section = planner.params.mutual
    if section is None:
        return skip("mutual")
    architectures = [section.architectures[f"p{k}"] for k in range(1, section.peers + 1)]
    inputs = [given(section.inputs.get(f"p{k}")) for k in range(1, section.peers + 1)]
    initials = [weights_file(section.initials.get(f"p{k}")) for k in range(1, section.peers + 1)]
    alone = planner.train("mutual", section, None, architectures[0], inputs[0], initial=initials[0])
    members = [
        NetworkSettings(
            architecture=architecture,
            input=input,
            objective=section.objective,
            seed=planner.seed(section, f"mutual/members/{k}"),
            initial_file=initial,
        )
        for k, (architecture, input, initial) in enumerate(zip(architectures, inputs, initials, strict=True), start=1)
    ]
    used = {unit: path for each in architectures for unit, path in units.model(each).items()}
    for initial in initials:
        used |= units.start(initial)
    return replace(
        alone,
        training=replace(alone.training, update=section.update, members=tuple(members)),
        carries=section.carries,
        code=planner.codes("mutual", section, used),
    )
