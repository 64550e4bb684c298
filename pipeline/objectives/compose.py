"""A weighted sum of loss terms, each of which names the signals that it takes."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import schema
from pipeline.errors import UserError
from pipeline.sections.base import unknown

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Signals:
    """What one batch offers: student logits, hard labels, and teacher logits where there is a teacher."""

    z_BC: Tensor
    y_B: Tensor
    t_BC: Tensor | None = None


SIGNALS = tuple(field.name for field in fields(Signals))


@dataclass(frozen=True)
class Term:
    """One loss: how much it counts, what it takes (names of signals, in order), what it computes."""

    weight: float
    needs: tuple[str, ...]
    loss: Callable[..., Tensor]


class Objective(nn.Module):
    """The objective of params.yaml: term name -> settings of that file's function, and `weight` (default 1).

    `needs` names the signals that must be given. It is a module so that a term with learned parts can be
    a registered submodule, trained and counted with the student.
    """

    def __init__(self, terms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        if not terms:
            raise UserError("params.yaml, objective: name a term, such as `cross_entropy: {weight: 1}`")
        self.terms = {name: _term(name, settings) for name, settings in terms.items()}
        self.needs = frozenset(need for term in self.terms.values() for need in term.needs)

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Unweighted scalar loss of each term, float32, in the order of params.yaml."""
        return {name: term.loss(*_taken(name, term, signals)) for name, term in self.terms.items()}

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of what `forward` gave: the scalar to minimise."""
        return torch.stack([self.terms[name].weight * loss for name, loss in losses.items()]).sum()


def _taken(name: str, term: Term, signals: Signals) -> list[Tensor]:
    """The signals that a term takes, in order."""
    taken = [getattr(signals, need) for need in term.needs]
    for need, signal in zip(term.needs, taken, strict=True):
        if signal is None:
            raise UserError(f"params.yaml, objective.{name} needs {need}, and no teacher gives it")
    return taken


def _term(name: str, settings: Mapping[str, Any]) -> Term:
    """Find, check and bind one term; whatever does not fit is a `UserError`."""
    valid = schema.available(FOLDER)
    if name not in valid:
        raise UserError(f"params.yaml, objective: {unknown('term', name, valid)}")
    path = FOLDER / f"{name}.py"
    needs = schema.needs(path, name)
    for need in needs:
        if need not in SIGNALS:
            raise UserError(f"pipeline/objectives/{name}.py: {unknown('signal', need, SIGNALS)}")
    where = f"params.yaml, objective.{name}"
    weight = settings.get("weight", 1.0)
    rest = {key: value for key, value in settings.items() if key != "weight"}
    bound = schema.complete(path, name, rest, where)
    function = getattr(importlib.import_module(f"pipeline.objectives.{name}"), name)
    return Term(_weight(weight, where), needs, partial(function, **bound))


def _weight(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UserError(f"{where}.weight must be a number of at least 0, not {value!r}")
    return float(value)
