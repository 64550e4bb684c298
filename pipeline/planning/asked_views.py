"""How many views each node labels: as many as the longest of those that learn from them has epochs.

Who learns from a slot that may carry learns from the one before it; who learns from `refined`, from any generation. A
chain labels for a link that may still come, so that lengthening it trains the new links and touches no other.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipeline.config.network import TrainingSection
from pipeline.config.params import Params
from pipeline.config.term import needs_features, needs_teacher
from pipeline.planning.specs.readers import EnsembleSpec, RefinedSpec
from pipeline.planning.specs.slots import CarrySpec
from pipeline.planning.specs.spec import Spec
from pipeline.planning.specs.training import NetworkSpec, TrainingSpec, TrainSpec


def asked_views(specs: dict[str, Spec], params: Params) -> dict[str, Spec]:
    """The specs, each with as many views to label as are asked of it; a number in params.yaml stands for any."""
    asked = _asked(specs, params)
    found: dict[str, Spec] = {}
    for name, spec in specs.items():
        found[name] = spec
        if isinstance(spec, NetworkSpec | EnsembleSpec) and (views := asked.get(name, 0)):
            found[name] = replace(spec, labels=replace(spec.labels, views=params.labels.views or views))
    return found


def _asked(specs: dict[str, Spec], params: Params) -> dict[str, int]:
    """By node, the views that are asked of it; one of which none are may be missing."""
    asked: dict[str, int] = {}
    for source, views in (*_readers(specs), *_next_links(specs, params)):
        asked[source] = max(asked.get(source, 0), views)
    stand_ins = list(_stand_ins(specs, params))
    for _ in specs:  # again and again, as the last of them may stand for the first
        for name, source in stand_ins:
            asked[source] = max(asked.get(source, 0), asked.get(name, 0))
    return asked


def _readers(specs: dict[str, Spec]) -> Iterator[tuple[str, int]]:
    """Each node whose stored labels somebody reads, and for how many epochs."""
    for spec in specs.values():
        if isinstance(spec, TrainingSpec) and spec.teacher and spec.training.teaching == "stored":
            yield spec.teacher, (spec.training.views_before or 0) + spec.training.recipe["epochs"]


def _next_links(specs: dict[str, Spec], params: Params) -> Iterator[tuple[str, int]]:
    """Each node that a chain could go on from, and the epochs of what would learn from it."""
    chains: list[tuple[str, str, tuple[TrainingSection | None, ...]]] = [
        ("assistant", "teacher", (params.assistant, params.student))
    ]
    for family, section in (("refinery", params.refinery), ("born_again", params.born_again)):
        chains += [(family, section.start, (section,))] if section else []
    for family, start, readers in chains:
        views = max((each.recipe.epochs for each in readers if each and _reads_labels(each)), default=0)
        yield from ((name, views) for name in (start, *_trained(specs, family)))


def _stand_ins(specs: dict[str, Spec], params: Params) -> Iterator[tuple[str, str]]:
    """Each node that may carry another one, and that one."""
    for name, spec in specs.items():
        if isinstance(spec, CarrySpec) or (isinstance(spec, TrainSpec) and spec.stop):
            assert spec.previous is not None
            yield name, spec.previous
        elif isinstance(spec, RefinedSpec) and params.refinery:
            yield from ((name, each) for each in (params.refinery.start, *_trained(specs, "refinery")))


def _reads_labels(section: TrainingSection) -> bool:
    objective = section.objective
    return section.teaching == "stored" and needs_teacher(objective) and not needs_features(objective)


def _trained(specs: dict[str, Any], family: str) -> list[str]:
    return [name for name, spec in specs.items() if name.startswith(f"{family}/") and isinstance(spec, TrainSpec)]
