"""The `compress` section: steps on a trained network, in the order that it names.

A step's kind is its name unless it says otherwise, so that one kind may be used with different settings. A kind is a
file of `pipeline/compression/steps`: it declares the settings, and by its constant `MAKES` what it leaves to the next.
"""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from pipeline.base.errors import UserError
from pipeline.config.extension import STEPS, Extended, ExtensionPoint
from pipeline.config.network import NetworkSection, TrainingSection
from pipeline.config.numbers import Natural
from pipeline.config.section import Section, fault, unknown

# What a step makes: a fresh network that has learned from the one before; that one after further training; that one
# with other layers or weights; a file for a runtime; such a file that ships, of a network or of a file.
Makes = Literal["fresh", "tuned", "changed", "file", "shipped"]


def makes(kind: str) -> Makes:
    """What steps of a kind make, as its file says.

    Raises:
        UserError: There is no such kind, or its file does not say it.
    """
    if (found := STEPS.constant(kind, "MAKES")) not in get_args(Makes):
        raise UserError(f"{STEPS.code(kind)}: MAKES must be one of {', '.join(get_args(Makes))}, not {found!r}")
    return found


class Step(Extended):
    """One step; its keys are those that the file of its kind declares."""

    point: ClassVar[ExtensionPoint] = STEPS
    chosen_by: ClassVar[str] = "kind"
    inherits: ClassVar[bool] = False

    kind: str

    @property
    def makes(self) -> Makes:
        """What it leaves to the next."""
        return makes(self.kind)

    @property
    def on_grids(self) -> bool:
        """Whether it trains for grids, so that later steps must keep the weights on them."""
        return self.makes == "tuned" and self.settings.get("weight_bits") is not None

    @model_validator(mode="after")
    def check_settings(self) -> Self:
        """What the file's `check` finds wrong with them, or what of them has no effect."""
        check = STEPS.helper(self.kind, "check")
        if check and (sentence := check(self.settings)):
            raise fault(sentence)
        if sentence := STEPS.idle(self.kind, self.settings):
            raise fault(sentence)
        return self

    def misplaced(self, shipped: str | None, grids: str | None) -> str | None:
        """What the file's `check_place` finds wrong with the step after those: see `Compress.check_order`."""
        check = STEPS.helper(self.kind, "check_place")
        return check(self.settings, shipped, grids) if check else None


class Tuned(TrainingSection, Step):
    """A step that trains the network of the node before: by hard labels, or by what `compress.teacher` says."""

    model_config = ConfigDict(extra="allow")


class Fresh(NetworkSection, Step):
    """A step in which a fresh network learns from the node before."""

    model_config = ConfigDict(extra="allow")


def _named(value: Any) -> Any:
    """Each step with its kind; a kind that is not there is named."""
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for name, step in value.items():
        if step is not None and not isinstance(step, Mapping):
            raise fault(f".{name}: must be a mapping of keys to values, not {reprlib.repr(step)}")
        kind = (step or {}).get("kind", name)
        if kind not in (kinds := STEPS.names()):
            hint = "" if "kind" in (step or {}) else "; with a name of its own a step needs `kind`"
            raise fault(f".{name}: {unknown('kind', str(kind), kinds)}{hint}")
        found[name] = {**(step or {}), "kind": kind}
    return found


def _tag(step: Any) -> str:
    made = makes(step["kind"] if isinstance(step, Mapping) else step.kind)
    return f"[{made if made in ('fresh', 'tuned') else 'other'}]"


# Tags in brackets are no keys of params.yaml, and no message shows them.
AnyStep = Annotated[
    Annotated[Fresh, Tag("[fresh]")] | Annotated[Tuned, Tag("[tuned]")] | Annotated[Step, Tag("[other]")],
    Discriminator(_tag),
]


class Compress(Section):
    """Where the chain starts, whom its tuning learns from, and its steps."""

    start: str = Field(default="teacher", alias="from")
    teacher: str = "teacher"
    seed: Natural | None = None
    order: tuple[str, ...] = ()
    steps: Annotated[dict[str, AnyStep], BeforeValidator(_named)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def check_order(self) -> Self:
        """Every name is a step's, and every step can work with what those before it leave.

        shipped: the last one that left a file. grids: the last one that trained for grids.
        """
        shipped = grids = None
        for name in self.order:
            if name not in self.steps:
                raise fault(f"order: {unknown('step', name, self.steps)}")
            step = self.steps[name]
            if shipped and (step.makes != "shipped" or self.steps[shipped].makes == "shipped"):
                raise fault(
                    f"order: {name!r} needs torch weights, but {shipped!r} before it leaves an ONNX file: "
                    f"put {name!r} before {shipped!r}"
                )
            if grids and (step.makes == "changed" or step.on_grids):
                raise fault(f"order: {name!r} changes weights that {grids!r} has put on grids: put it before {grids!r}")
            if sentence := step.misplaced(shipped, grids):
                raise fault(f"steps.{name}{'' if sentence.startswith('.') else ': '}{sentence}")
            shipped = name if step.makes in ("file", "shipped") else shipped
            grids = name if step.on_grids else grids
            if step.makes == "fresh":
                grids = None
        return self
