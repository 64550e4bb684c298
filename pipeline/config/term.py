"""One term of an objective in params.yaml: what every term has, and what its own code declares.

What a method takes is written once, in the signature of its function: read here without importing torch.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.base.errors import UserError
from pipeline.config import signature
from pipeline.config.extension import OBJECTIVES
from pipeline.config.numbers import NonNegative, Positive, Share
from pipeline.config.section import unknown


class Schedule(BaseModel):
    """How much a term counts, from the first step (share 0 of the training) to the last (share 1).

    It rises linearly over the first `warmup` of the training, and goes linearly from `weight` to `final`. With
    `balance`, training finds the weight as it starts: the one that makes the term's gradient so many times that of
    cross entropy (`pipeline.training.balance`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: NonNegative = 1.0
    balance: Positive | None = None
    warmup: Share = 0.0
    final: NonNegative | None = None

    def at(self, share: float) -> float:
        """The weight after `share` of the training."""
        final = self.weight if self.final is None else self.final
        rise = min(1.0, share / self.warmup) if self.warmup else 1.0
        return rise * (self.weight + (final - self.weight) * share)


class Layers(BaseModel):
    """Which layers a method on features compares: a kind, or names of taps, student's to teacher's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Literal["stages", "embedding", "logits"] | dict[str, str]


def default_weight(name: str) -> float:
    """The weight of a term that params.yaml gives none: `WEIGHT` of the term's file, 1 where it has none."""
    return float(OBJECTIVES.constant(name, "WEIGHT") or 1.0)


def complete_term(name: str, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A term's settings checked, with all defaults; `where` is its key in params.yaml.

    A term has either a `weight` or a `balance`, never both; null is as if it were not given.
    """
    own = OBJECTIVES.settings(name)
    common: dict[str, Any] = {}
    rest = {key: value for key, value in settings.items() if value is not None or key not in ("weight", "balance")}
    models: list[type[BaseModel]] = [Schedule]
    if needs_features({name: settings}):
        models.append(Layers)
        rest.setdefault("layers", OBJECTIVES.constant(name, "LAYERS"))
    valid = [key for model in [*models, own] for key in model.model_fields]
    for key in settings:
        if key not in valid:
            raise UserError(f"{where}: {unknown('key', str(key), valid)}")
    if "balance" not in rest:
        rest.setdefault("weight", default_weight(name))
    elif "weight" in rest:
        raise UserError(f"{where} has weight and balance: balance finds the weight, so give one of them")
    for model in models:
        found = {key: rest.pop(key) for key in [*rest] if key in model.model_fields}
        common |= signature.validated(model, found, where)
    del common["balance" if common["balance"] is None else "weight"]
    complete = signature.validated(own, rest, where)
    if sentence := OBJECTIVES.idle(name, complete):
        raise UserError(f"{where}{sentence}")
    return common | complete


def needs_features(objective: Mapping[str, Any]) -> bool:
    """Whether any term compares features of student and teacher."""
    return any("student" in OBJECTIVES.needs(name) for name in objective)


def needs_teacher(objective: Mapping[str, Any]) -> bool:
    """Whether any term listens to a teacher, by its logits or its features."""
    return any({"t_BC", "teacher"} & {*OBJECTIVES.needs(name)} for name in objective)


def weighs_classes(objective: Mapping[str, Any]) -> bool:
    """Whether any term takes the weights of classes."""
    return any("w_B" in OBJECTIVES.needs(name) for name in objective)


def needs_one_class(objective: Mapping[str, Any]) -> list[str]:
    """The terms that need one class of each image, in order: they take hard labels, and not what is mixed into them."""
    needs = {name: {*OBJECTIVES.needs(name)} for name in objective}
    return [name for name, taken in needs.items() if "y_B" in taken and "mixed" not in taken]


def needs_labels(objective: Mapping[str, Any]) -> bool:
    """Whether every term takes hard labels: then an image without one teaches nothing."""
    return all("y_B" in OBJECTIVES.needs(name) for name in objective)


def check_mixing(objective: Mapping[str, Any], where: str, mixes: bool) -> None:
    """Refuse a term that needs one class of each image where views mix images; `where` is the section's key.

    Raises:
        UserError: There is one.
    """
    if mixes and (names := needs_one_class(objective)):
        raise UserError(
            f"params.yaml: {where}.objective.{names[0]} needs one class of each image, and views mix images: take "
            "cross_entropy or a term on soft labels in its place, or views that do not mix"
        )


def has_logits(objective: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any term needs the student's logits: if none does, its upper part is not trained."""
    for name, settings in objective.items():
        layers = settings.get("layers")
        if "z_BC" in OBJECTIVES.needs(name) or layers == "logits":
            return True
        if isinstance(layers, Mapping) and "logits" in layers:
            return True
    return False
