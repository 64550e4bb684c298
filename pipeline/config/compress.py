"""The `compress` section: steps on a trained network, in the order that it names.

A step's kind is its name unless it says otherwise, so that one kind may be used with different settings.
"""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from pipeline.config.network import NetworkSection, TrainingSection
from pipeline.config.numbers import Count, Natural, Positive, Share
from pipeline.config.section import Section, fault, unknown

# A share of what there is, or a whole number of what may stay.
Target = Count | Annotated[float, Field(strict=True, gt=0, lt=1)]
Bits = Annotated[int, Field(strict=True, ge=2, le=8)]
BATCH = 64  # images a pass, for what looks at training views


class Distil(NetworkSection):
    """A fresh network learns from the node before."""

    kind: Literal["distil"]


class Tune(TrainingSection):
    """The network of the node before learns on: by hard labels, or by what `compress.teacher` says.

    Weights that are zero stay zero. With bits it computes on grids while it learns (quantisation-aware training).
    """

    kind: Literal["tune"]
    weight_bits: Bits | None = None
    activation_bits: Bits | None = None

    @model_validator(mode="after")
    def name_weights(self) -> Self:
        """Grids for inputs alone are of no use to any file that we write."""
        if self.activation_bits is not None and self.weight_bits is None:
            raise fault("activation_bits is given, but weight_bits is not: give both, or weight_bits alone")
        return self


class Prune(Section):
    """Weights or filters go, the least important first: exactly one target says how far."""

    kind: Literal["prune"]
    what: Literal["filters", "weights"] = "filters"
    sparsity: Share | None = None
    parameters: Target | None = None
    flops: Target | None = None
    rounds: Count = 1
    scope: Literal["global", "layer"] = "global"

    @model_validator(mode="after")
    def aim_once(self) -> Self:
        """One target; of single weights only a share can be asked."""
        _one_of(self, "sparsity", "parameters", "flops")
        if self.what == "weights" and self.sparsity is None:
            raise fault("what is weights, which change neither parameters nor flops: give sparsity")
        return self

    @property
    def target(self) -> dict[str, Any]:
        """The one that is given, by its name."""
        return _given(self, "sparsity", "parameters", "flops")


class Factorise(Section):
    """Layers become two thinner ones each: exactly one target says how thin."""

    kind: Literal["factorise"]
    rank: Count | None = None
    energy: Share | None = None
    parameters: Target | None = None
    flops: Target | None = None
    layers: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def aim_once(self) -> Self:
        """One target."""
        _one_of(self, "rank", "energy", "parameters", "flops")
        return self

    @property
    def target(self) -> dict[str, Any]:
        """The one that is given, by its name."""
        return _given(self, "rank", "energy", "parameters", "flops")


class Replace(Section):
    """Convolutions give way to cheap ones that first learn to imitate them, one batch of training views a step."""

    kind: Literal["replace"]
    layers: tuple[str, ...] = Field(min_length=1)
    groups: Count | None = None
    batches: int = Field(default=200, strict=True, ge=2)
    lr: Positive = 0.003


class Codebook(Section):
    """Weights share a few values, and the file holds indices of so many bits."""

    kind: Literal["codebook"]
    bits: int = Field(default=4, strict=True, ge=1, le=8)


class Quantise(Section):
    """An ONNX file of small numbers.

    `int8` computes in whole numbers, with ranges calibrated on training views. `grids` has the bits of the tuning
    before it, or finds its grids after training (with weight_bits and activation_bits); it computes in float32, as
    do the forms that only store small weights.
    """

    kind: Literal["quantise"]
    form: Literal["int8", "float16", "bfloat16", "int8_weights", "int4_weights", "grids"] = "int8"
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax"
    batches: Count = 8
    weight_bits: Bits | None = None
    activation_bits: Bits | None = None

    @model_validator(mode="after")
    def give_bits_to_grids(self) -> Self:
        """Bits belong to one form."""
        if self.form != "grids" and (self.weight_bits or self.activation_bits):
            raise fault(f"bits are given, but form is {self.form}: use form: grids")
        return self


class Export(Section):
    """The ONNX file that ships, checked against the network; with `program` torch's exported program, too."""

    kind: Literal["export"]
    program: bool = False


KINDS = ("distil", "tune", "prune", "factorise", "replace", "codebook", "quantise", "export")
CHANGES_LAYERS = ("prune", "factorise", "replace", "codebook")


def _named(value: Any) -> Any:
    """Each step with its kind; a kind that is not there is named."""
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for name, step in value.items():
        if step is not None and not isinstance(step, Mapping):
            raise fault(f".{name}: must be a mapping of keys to values, not {reprlib.repr(step)}")
        kind = (step or {}).get("kind", name)
        if kind not in KINDS:
            hint = "" if "kind" in (step or {}) else "; with a name of its own a step needs `kind`"
            raise fault(f".{name}: {unknown('kind', str(kind), KINDS)}{hint}")
        found[name] = {**(step or {}), "kind": kind}
    return found


# Tags in brackets are no keys of params.yaml, and no message shows them.
Step = Annotated[
    Annotated[Distil, Tag("[distil]")]
    | Annotated[Tune, Tag("[tune]")]
    | Annotated[Prune, Tag("[prune]")]
    | Annotated[Factorise, Tag("[factorise]")]
    | Annotated[Replace, Tag("[replace]")]
    | Annotated[Codebook, Tag("[codebook]")]
    | Annotated[Quantise, Tag("[quantise]")]
    | Annotated[Export, Tag("[export]")],
    Discriminator(lambda step: f"[{step['kind'] if isinstance(step, Mapping) else step.kind}]"),
]


class Compress(Section):
    """Where the chain starts, whom its tuning hears, and its steps."""

    start: str = Field(default="teacher", alias="from")
    teacher: str = "teacher"
    seed: Natural | None = None
    order: tuple[str, ...] = ()
    steps: Annotated[dict[str, Step], BeforeValidator(_named)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def check_order(self) -> Self:
        """Every name is a step's, and every step can work with what the one before it leaves."""
        shipped = grids = None
        for name in self.order:
            if name not in self.steps:
                raise fault(f"order: {unknown('step', name, self.steps)}")
            step = self.steps[name]
            if shipped and (step.kind != "export" or isinstance(self.steps[shipped], Export)):
                raise fault(
                    f"order: {name!r} needs torch weights, but {shipped!r} before it leaves an ONNX file: "
                    f"put {name!r} before {shipped!r}"
                )
            if shipped and isinstance(step, Export) and step.program:
                raise fault(
                    f"steps.{name}.program needs torch weights, but {shipped!r} before it leaves an ONNX file: "
                    f"set it to false, or leave {shipped!r} out"
                )
            if grids and (step.kind in CHANGES_LAYERS or (isinstance(step, Tune) and step.weight_bits)):
                raise fault(f"order: {name!r} changes weights that {grids!r} has put on grids: put it before {grids!r}")
            if grids and isinstance(step, Quantise) and step.form not in ("int8", "grids"):
                raise fault(f"steps.{name}.form is {step.form}, but {grids!r} trains for grids: use int8 or grids")
            if isinstance(step, Quantise) and step.form == "grids" and bool(grids) == bool(step.weight_bits):
                raise fault(
                    f"steps.{name}.weight_bits: {grids!r} before it has its own bits: leave them out"
                    if grids
                    else f"steps.{name}: form is grids, but no tuning on grids comes before it: give weight_bits"
                )
            shipped = name if step.kind in ("quantise", "export") else shipped
            if isinstance(step, Tune) and step.weight_bits:
                grids = name
            if isinstance(step, Distil):
                grids = None
        return self


def _given(section: Section, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(section, name)) is not None}


def _one_of(section: Section, *names: str) -> None:
    if len(given := _given(section, *names)) != 1:
        raise fault(f"takes exactly one of {', '.join(names)}, not {' and '.join(given) or 'none'}")
