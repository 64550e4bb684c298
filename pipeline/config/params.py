"""params.yaml, read and checked whole.

What a section may leave out is filled in before validation (a recipe from `training`, `baseline`
and `direct` from `student`), so that a stage's spec is complete and nothing else need be read.
A part that is null, or is not there, is off (see `config.parts`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from pipeline.base.errors import UserError
from pipeline.config import across, parts
from pipeline.config.compress import Compress, makes
from pipeline.config.data import Data
from pipeline.config.extension import STEPS
from pipeline.config.labels import LabelsSection
from pipeline.config.machine import Machine
from pipeline.config.network import (
    AssistantSection,
    ChainSection,
    MethodSection,
    MutualSection,
    NetworkSection,
    TeacherSection,
    TrainingSection,
)
from pipeline.config.numbers import Natural
from pipeline.config.recipe import Recipe
from pipeline.config.section import Section, fault, wording
from pipeline.config.select import Select
from pipeline.config.views import Views
from pipeline.config.yaml import read_yaml


class Seeds(Section):
    """One seed for each source of chance; a family of stages may override `train`."""

    data: Natural = 0
    views: Natural = 0
    train: Natural = 0


class Ensemble(Section):
    """How the born-again generations are combined."""

    rule: Literal["probabilities", "logits", "weighted"] = "probabilities"


class Edges(Section):
    """Where each chain starts; compress_teacher: whose soft labels its `tune` reads.

    They are what dvc.yaml reads of params.yaml, and stand apart because a chain's own section may be null.
    """

    refinery: str
    born_again: str
    compress: str
    compress_teacher: str

    @model_validator(mode="before")
    @classmethod
    def refuse_missing(cls, values: Any) -> Any:
        """A start that is left out has no default: DVC, which reads it of the file, would know none."""
        for name in cls.model_fields if isinstance(values, dict) else ():
            if name not in values:
                usual = "baseline" if name == "refinery" else "teacher"
                raise fault(f".{name}, which dvc.yaml reads, is missing: add it, such as `{name}: {usual}`")
        return values


class Params(Section):
    """params.yaml, whole; of what may be None, None is off. select: the metric by which validation chooses networks."""

    select: Select = "accuracy"
    seeds: Seeds
    data: Data
    views: Views
    labels: LabelsSection
    machine: Machine
    training: Recipe
    edges: Edges
    teacher: TeacherSection
    assistant: AssistantSection
    student: NetworkSection | None = None
    baseline: NetworkSection | None = None
    direct: NetworkSection | None = None
    refinery: ChainSection | None = None
    born_again: ChainSection | None = None
    ensemble: Ensemble
    method: dict[str, MethodSection]
    mutual: MutualSection | None = None
    compress: Compress | None = Compress()

    @property
    def trained(self) -> dict[str, TrainingSection]:
        """The sections that train, by their keys."""
        compress = self.compress.steps if self.compress else {}
        steps = {f"compress.steps.{name}": step for name, step in compress.items()}
        return {
            **{name: section for name in LEARNERS if (section := getattr(self, name)) is not None},
            **{f"method.{name}": section for name, section in self.method.items()},
            **{name: step for name, step in steps.items() if isinstance(step, TrainingSection)},
        }


LEARNERS = ("teacher", "assistant", "student", "baseline", "direct", "refinery", "born_again", "mutual")


def read(path: Path) -> Params:
    """Read and check params.yaml; any fault is a `UserError` that names file and key."""
    return check(read_yaml(path), path.name)


def check(raw: Any, name: str) -> Params:
    """Check what the file `name` holds; any fault is a `UserError` that names file and key."""
    if not isinstance(raw, dict):
        raise UserError(f"{name} must be a mapping of sections such as `data:` and `teacher:`")
    whole = _inherit(raw)
    for sentence in (*parts.edges_given_twice(raw), *parts.without_student(whole)):
        raise UserError(f"{name}: {sentence}")
    try:
        found = Params.model_validate(whole)
    except ValidationError as error:
        raise UserError(explain(error.errors(), name)) from None
    for sentence in across.idle_keys(raw, found.training, found.trained, found.compress, found.views):
        raise UserError(f"{name}: {sentence}")
    return found


def _inherit(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Fill recipes in from `training`, starts from `edges`, and much from `student`: see `_like` and `_steps`."""
    whole = parts.with_edges(raw)
    if whole.get("method", {}) is None:
        whole["method"] = {}
    student, methods = whole.get("student"), whole.get("method")
    student = {} if student is None else student  # off: it gives nothing to others
    if isinstance(student, dict) and isinstance(compress := whole.get("compress"), dict):
        asked = parts.asked_steps(whole)
        whole["compress"] = {**compress, "steps": _steps(student, whole.get("training"), asked)}
    if isinstance(student, dict):
        for name in ("baseline", "direct"):
            if whole.get(name) is not None:
                whole[name] = _like(student, whole[name])
        if isinstance(methods, dict):
            whole["method"] = {name: _like(student, each) for name, each in methods.items() if each is not None}
    for section in [whole] + ([whole["method"]] if isinstance(whole.get("method"), dict) else []):
        for name in LEARNERS if section is whole else [*section]:
            if isinstance(each := section.get(name), dict):
                section[name] = {**each, "recipe": _merged(whole.get("training"), each.get("recipe"))}
    return whole


def _steps(student: dict[str, Any], training: Any, steps: Any) -> Any:
    """The steps that train, filled in: a fresh network is like the student, one that is tuned has its objective."""
    if not isinstance(steps, dict):
        return steps
    found = dict(steps)
    for name, step in steps.items():
        kind = step.get("kind", name) if isinstance(step, dict) else name
        if kind not in STEPS.names():
            continue  # validation names it
        if makes(kind) == "fresh":
            found[name] = _like(student, step)
            found[name]["recipe"] = _merged(training, found[name].get("recipe"))
        elif makes(kind) == "tuned" and isinstance(step, dict | None):
            found[name] = {"teaching": student.get("teaching", "stored")}
            found[name] |= {"objective": student["objective"]} if "objective" in student else {}
            found[name] |= {**(step or {}), "recipe": _merged(training, (step or {}).get("recipe"))}
    return found


def _like(student: dict[str, Any], change: Any) -> Any:
    """A section that gives only what differs from the student's."""
    section = _merged(student, change)
    if isinstance(section, dict):
        if isinstance(change, dict) and "architecture" in change:
            for key in ("input", "initial"):  # of the student's architecture
                if key not in change:
                    section.pop(key, None)
        section["recipe"] = _merged(student.get("recipe"), (change or {}).get("recipe"))
    return section


def _merged(base: Any, change: Any) -> Any:
    """`change` over `base` where both are mappings; a wrong type is left for validation to name."""
    base = {} if base is None else base
    change = {} if change is None else change
    return {**base, **change} if isinstance(base, dict) and isinstance(change, dict) else change


def explain(faults: Sequence[Any], file: str) -> str:
    """The first of pydantic's faults as one sentence; the others are often only its copies in other sections."""
    first = faults[0]
    path = ".".join(str(part) for part in first["loc"] if not str(part).startswith("["))
    message = wording(first)
    # A fault within what code declares begins with its own key, from where the section ends.
    joint = "" if not path or message.startswith(".") else ": "
    return f"{file}: {path}{joint}{message}"
