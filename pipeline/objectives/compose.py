"""A weighted sum of loss terms, each of which names the signals that it takes.

A term is a file of this folder. Its function (or, where it has learned parts, its class) declares by the names of
its positional parameters what it is handed:

- `z_BC`, `y_B`, `t_BC`: student logits, hard labels, teacher logits;
- `w_B`: what each image counts by its class, or None where all count 1 (see `pipeline.data.unequal`);
- `l_B`: what each row counts by having a hard label, or None where all have one (see `hard_labels.counts`);
- `mixed`: what is mixed into each row, or None where a row is one image (`hard_labels.Mixed`);
- `student`, `teacher`: features, one tensor a pair of layers (see `pipeline.objectives.pairing`);
- `peers`: logits of the other networks of a mutual training.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config import signature
from pipeline.config.extension import OBJECTIVES
from pipeline.config.section import unknown
from pipeline.config.term import Schedule
from pipeline.objectives.hard_labels import Mixed
from pipeline.objectives.pairing import LOGITS, Pair, Shapes, pairs


@dataclass(frozen=True)
class Signals:
    """What one batch offers. `student` and `teacher` are features by tap name."""

    z_BC: Tensor
    y_B: Tensor
    t_BC: Tensor | None = None
    student: Mapping[str, Tensor] = field(default_factory=dict)
    teacher: Mapping[str, Tensor] = field(default_factory=dict)
    peers: Sequence[Tensor] | None = None
    w_B: Tensor | None = None
    l_B: Tensor | None = None
    mixed: Mixed | None = None


SIGNALS = tuple(each.name for each in fields(Signals))
OPTIONAL = ("w_B", "l_B", "mixed")  # which a term takes as None, too
# What hard labels may be, and only a term that takes the signal can know of.
UNLIKE_A_CLASS = {"l_B": "images without a label", "mixed": "images that are mixed"}


@dataclass(frozen=True)
class Term:
    """One loss: how much it counts, what it takes (names of signals, in order), of which layers, what it computes."""

    schedule: Schedule
    needs: tuple[str, ...]
    pairs: tuple[Pair, ...]
    loss: Callable[..., Tensor]


class Objective(nn.Module):
    """The objective of params.yaml: term name -> settings.

    Args:
        terms: All settings of each term, as `pipeline.config.term.complete_term` gives them.
        student: Shapes of the student's layers; needed where a term compares features.
        teacher: Shapes of the teacher's layers, likewise.
        class_weights_C: What an image of each class counts in the terms that take `w_B`; None: 1.

    Attributes:
        needs: The signals that must be given.
        student_layers, teacher_layers: Taps whose outputs must be given.
    """

    def __init__(
        self,
        terms: Mapping[str, Mapping[str, Any]],
        student: Shapes | None = None,
        teacher: Shapes | None = None,
        class_weights_C: Tensor | None = None,
    ) -> None:
        super().__init__()
        # A buffer that is not saved: it goes where the module goes, and follows from the data.
        self.class_weights_C: Tensor | None
        self.register_buffer("class_weights_C", class_weights_C, persistent=False)
        self.terms = {name: _term(name, settings, student, teacher) for name, settings in terms.items()}
        # Learned adapters are trained, saved and counted with the student, and are not exported with it.
        learned = {name: term.loss for name, term in self.terms.items() if isinstance(term.loss, nn.Module)}
        self.adapters = nn.ModuleDict(learned)
        self.needs = frozenset(need for term in self.terms.values() for need in term.needs if need not in OPTIONAL)
        found = [pair for term in self.terms.values() for pair in term.pairs]
        self.student_layers = tuple(dict.fromkeys(pair.student for pair in found if pair.student != LOGITS))
        self.teacher_layers = tuple(dict.fromkeys(pair.teacher for pair in found if pair.teacher != LOGITS))

    def balanced(self) -> dict[str, float]:
        """The terms whose weight is found as training starts: how many times cross entropy's gradient each is to be."""
        return {name: term.schedule.balance for name, term in self.terms.items() if term.schedule.balance is not None}

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Give terms another weight, that of their schedule's start."""
        for name, weight in weights.items():
            schedule = self.terms[name].schedule.model_copy(update={"weight": weight})
            self.terms[name] = replace(self.terms[name], schedule=schedule)

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Unweighted scalar loss of each term, float32, in the order of params.yaml."""
        if (weights_C := self.class_weights_C) is not None:
            # A row without a label (-1) gets the weight of some class: its loss is 0.
            mixed = signals.mixed and replace(signals.mixed, w_B=weights_C[signals.mixed.y_B])
            signals = replace(signals, w_B=weights_C[signals.y_B], mixed=mixed)
        return {name: term.loss(*_taken(name, term, signals)) for name, term in self.terms.items()}

    def weights(self, share: float = 0.0) -> list[float]:
        """The weight of each term after `share` of the training."""
        return [term.schedule.at(share) for term in self.terms.values()]

    def weighted(self, losses: Mapping[str, Tensor], weights: Sequence[float | Tensor]) -> list[Tensor]:
        """What `forward` gave, each times its weight: what is added up and minimised."""
        return [weight * loss for weight, loss in zip(weights, losses.values(), strict=True)]


def _taken(name: str, term: Term, signals: Signals) -> list[Any]:
    """The signals that a term takes, in order."""
    for signal, what in UNLIKE_A_CLASS.items():
        if "y_B" in term.needs and signal not in term.needs and getattr(signals, signal) is not None:
            raise UserError(
                f"params.yaml, objective.{name} needs one class of each image, and there are {what}: take "
                f"cross_entropy or a term on soft labels in its place, or let its file take {signal}"
            )
    taken: list[Any] = []
    for need in term.needs:
        if need == "student":
            taken.append([_layer(signals.student, pair.student, signals.z_BC) for pair in term.pairs])
        elif need == "teacher":
            taken.append([_layer(signals.teacher, pair.teacher, signals.t_BC) for pair in term.pairs])
        else:
            taken.append(getattr(signals, need))
        if taken[-1] is None and need not in OPTIONAL:
            raise UserError(f"params.yaml, objective.{name} needs {need}, and no teacher gives it")
    return taken


def _layer(features: Mapping[str, Tensor], name: str, logits_BC: Tensor | None) -> Tensor:
    if name != LOGITS:
        return features[name]
    assert logits_BC is not None
    return logits_BC


def _term(name: str, settings: Mapping[str, Any], student: Shapes | None, teacher: Shapes | None) -> Term:
    """Bind one term, whose settings were checked with params.yaml; layers that do not fit are a `UserError`."""
    where = f"params.yaml, objective.{name}"
    needs = OBJECTIVES.needs(name)
    for need in needs:
        if need not in SIGNALS:
            raise UserError(f"pipeline/objectives/{name}.py: {unknown('signal', need, SIGNALS)}")
    own = dict(settings)
    schedule = Schedule(**{key: own.pop(key) for key in settings if key in Schedule.model_fields})
    layers = own.pop("layers", None)
    found: tuple[Pair, ...] = ()
    if layers is not None:
        if student is None or teacher is None:
            raise UserError(f"{where} compares features, and there is no teacher network to give them")
        found = pairs(layers, student, teacher, where)
    module = importlib.import_module(f"pipeline.objectives.{name}")
    if not found:
        return Term(schedule, needs, found, partial(getattr(module, name), **own))
    assert student is not None and teacher is not None
    try:
        if hasattr(module, name):
            term = Term(schedule, needs, found, partial(getattr(module, name), **own))
        else:
            shapes = ([student[pair.student] for pair in found], [teacher[pair.teacher] for pair in found])
            term = Term(schedule, needs, found, getattr(module, signature.class_name(name))(*shapes, **own))
        _try(name, term, student, teacher)
    except UserError as error:
        compared = ", ".join(f"{pair.student}: {pair.teacher}" for pair in found)
        raise UserError(f"{where}, layers {compared}: {error}") from None
    return term


def _try(name: str, term: Term, student: Shapes, teacher: Shapes) -> None:
    """Compare blank layers, so that what does not fit is refused before training and not within."""
    own, other = ({layer: torch.zeros(2, *shape) for layer, shape in each.items()} for each in (student, teacher))
    signals = Signals(own[LOGITS], torch.zeros(2, dtype=torch.long), other[LOGITS], own, other)
    with torch.no_grad():
        term.loss(*_taken(name, term, signals))
