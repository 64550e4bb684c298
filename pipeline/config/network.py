"""The sections of the networks that are trained: teacher, assistants, student, generations.

What an architecture or an objective takes is declared by the code that implements it, in its
function's signature; here it is only looked up, without importing torch.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from pipeline.base.errors import UserError
from pipeline.config import signature
from pipeline.config.data import Edge
from pipeline.config.effect import Needs
from pipeline.config.extension import FAMILIES
from pipeline.config.input import Framing
from pipeline.config.numbers import Amount, BelowOne, Count, Natural, NonNegative, Positive, Share
from pipeline.config.recipe import Recipe
from pipeline.config.section import Section, fault, unknown
from pipeline.config.term import complete_term


class Budget(Section):
    """What a network may cost: its widths, kept in proportion, become the largest that do; FLOPs are for one image."""

    parameters: Amount | None = None
    flops: Amount | None = None

    @model_validator(mode="after")
    def name_a_limit(self) -> Self:
        """Without a limit there is no width to find."""
        if self.parameters is None and self.flops is None:
            raise fault("give parameters, flops, or both")
        return self


def complete_architecture(given: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture with its family's defaults filled in, and its `budget` where it has one."""
    if "family" not in given:
        raise fault(f"family is missing: name one of {', '.join(FAMILIES.names())}")
    family = str(given["family"])
    rest = {key: value for key, value in given.items() if key not in ("family", "budget")}
    try:
        complete = {"family": family} | FAMILIES.complete(family, rest, family)
        if sentence := FAMILIES.idle(family, complete):
            raise UserError(sentence)
        if (budget := given.get("budget")) is None:
            return complete
        if not isinstance(budget, Mapping):
            raise UserError(f".budget: must be a mapping such as {{parameters: 50000}}, not {budget!r}")
        return complete | {"budget": signature.validated(Budget, budget, ".budget")}
    except UserError as error:
        raise fault(str(error)) from None


def complete_objective(given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each term with its defaults filled in.

    A term of weight 0 that does not grow is left out: `-S student.objective.soft_targets.weight=0` switches it off.
    """
    try:
        complete = {name: complete_term(name, settings, f".{name}") for name, settings in given.items()}
    except UserError as error:
        raise fault(str(error)) from None
    kept = {name: term for name, term in complete.items() if term.get("weight") != 0 or term["final"]}
    if not kept:
        raise fault("no term has a weight above 0: name one, such as `cross_entropy: {weight: 1}`")
    return kept


Architecture = Annotated[dict[str, Any], AfterValidator(complete_architecture)]
Statistics = Annotated[tuple[Share, ...], Field(min_length=1)]
Deviations = Annotated[tuple[Positive, ...], Field(min_length=1)]


class InputSection(Section):
    """What a network is fed; what is not given is that of its pretrained weights, else that of the data."""

    size: Edge | None = None
    mean: Statistics | None = None
    std: Deviations | None = None
    framing: Framing | None = None
    margin: BelowOne | None = None

    @model_validator(mode="after")
    def go_together(self) -> Self:
        """Means and deviations are those of one set of images."""
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise fault("mean and std belong together: give both, with one number a channel each")
        return self

    @property
    def given(self) -> dict[str, Any]:
        """What of it params.yaml gives, as specs hold it."""
        return self.model_dump(mode="json", exclude_none=True)


ObjectiveTerms = Annotated[dict[str, dict[str, Any]], AfterValidator(complete_objective)]


class TrainingSection(Section):
    """What a training needs besides an architecture: objective, recipe, and how its teacher is used."""

    objective: ObjectiveTerms
    recipe: Recipe
    teaching: Literal["stored", "live"] = "stored"
    seed: Natural | None = None


class Imported(Section):
    """What was trained elsewhere: a file, and its SHA-256 so that a changed one is noticed."""

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ImportedAnswers(Imported):
    """A file of a teacher's answers, and what stands for its answer to a view.

    for_views: `own`, the file has an answer to each view; `clean`, a view has that of its clean image, whatever the
    crop shows; null, views leave images as they are.
    """

    for_views: Literal["own", "clean"] | None = None


class ImportedOnnx(Imported):
    """An ONNX model that teaches.

    classes: their names in the order of its output; null: those of the file's card, else those of the data.
    input: what it is fed; what is not given is that of the file, else that of the data.
    """

    classes: tuple[str, ...] | None = None
    gives: Literal["logits", "probabilities"] = "logits"
    input: InputSection | None = None


GIVEN = ("weights", "answers", "onnx")  # of what a teacher was trained elsewhere, by the keys of its section


class Initial(Imported):
    """Weights that a network begins with.

    classes: Names in the order of the rows of the file's last layer, or a file of them, one a line; null: those that
        the file itself has, else they are taken to be the data's.
    head: `own`, the file's last layer; `new`, a fresh one.
    """

    NEEDS: ClassVar[Needs] = {"classes": {"head": ("own",)}}

    classes: tuple[str, ...] | str | None = None
    head: Literal["own", "new"] = "own"


class Weights(Initial):
    """Weights that are a network's own, without training.

    expect: The accuracy on validation, 0 .. 1, that they are known to reach.
    """

    expect: Share | None = None

    @model_validator(mode="after")
    def know_classes(self) -> Self:
        """A fresh last layer guesses until it is trained."""
        if self.head == "new":
            raise fault(
                ".head is new, and a new last layer knows no class before it is trained: give `initial` in place of "
                "`weights`, with the same keys, so that training goes on from them"
            )
        return self


def _begun_by(value: Any) -> str:
    return "[method]" if isinstance(value, str) else "[file]"


class NetworkSection(TrainingSection):
    """A single network; with `initial` it begins with the weights of a file."""

    architecture: Architecture
    input: InputSection | None = None
    initial: Initial | None = None


class TeacherSection(NetworkSection):
    """The first network of the lineage, trained here or imported, or one that is no network of ours."""

    weights: Weights | None = None
    answers: ImportedAnswers | None = None
    onnx: ImportedOnnx | None = None

    @model_validator(mode="after")
    def be_one(self) -> Self:
        """A teacher is imported in one way, or trained further from a file."""
        keys = (*GIVEN, "initial")
        if len(given := [key for key in keys if getattr(self, key) is not None]) > 1:
            raise fault(
                f"takes one of {', '.join(GIVEN)}, to import a network as it is, or `initial`, to train one further, "
                f"not {' and '.join(given)}: leave out all but one"
            )
        return self

    @property
    def foreign(self) -> str | None:
        """The key of what answers in its place where that is no network of ours."""
        return next((key for key in ("answers", "onnx") if getattr(self, key) is not None), None)


Inputs = Annotated[dict[str, InputSection], Field(default_factory=dict)]
Initials = Annotated[dict[str, Initial], Field(default_factory=dict)]
# Tags in brackets are no keys of params.yaml, and no message shows them.
MethodOrFile = Annotated[Annotated[str, Tag("[method]")] | Annotated[Initial, Tag("[file]")], Discriminator(_begun_by)]


class AssistantSection(TrainingSection):
    """The chain of teacher assistants: how many links, and the architecture of each slot."""

    links: Natural = 1
    architectures: dict[str, Architecture]
    inputs: Inputs
    initials: Initials

    @model_validator(mode="after")
    def name_each_link(self) -> Self:
        """Every link that is asked for needs its architecture."""
        for number in range(1, self.links + 1):
            if f"t{number}" not in self.architectures:
                raise fault(f"links is {self.links}, but architectures.t{number} is not given: add it")
        _of_architectures(self)
        return self


class ChainSection(TrainingSection):
    """Generations, each taught by the one before; with `patience` it stops by itself.

    Without an architecture of its own it has that of the network it starts from.
    """

    NEEDS: ClassVar[Needs] = {"min_gain": {"patience": None}}

    start: str = Field(alias="from")
    architecture: Architecture | None = None
    input: InputSection | None = None
    initial: Initial | None = None
    generations: Natural = 3
    patience: Count | None = None
    min_gain: NonNegative = 0.0


class MethodSection(NetworkSection):
    """One method of the comparison: the student's architecture and recipe, another objective.

    With `initial` it starts from the weights of another method's network, by its name, or from those of a file.
    """

    initial: MethodOrFile | None = None  # pyright: ignore[reportIncompatibleVariableOverride] frozen, so never assigned


class MutualSection(TrainingSection):
    """Networks that teach each other; the node carries one of them."""

    peers: int = Field(default=2, strict=True, ge=2, le=100)
    architectures: dict[str, Architecture]
    inputs: Inputs
    initials: Initials
    update: Literal["sequential", "simultaneous"] = "sequential"
    carries: Count = 1

    @model_validator(mode="after")
    def name_each_peer(self) -> Self:
        """Every peer needs its architecture, and the one that is carried must be one of them."""
        for number in range(1, self.peers + 1):
            if f"p{number}" not in self.architectures:
                raise fault(f"peers is {self.peers}, but architectures.p{number} is not given: add it")
        if strange := [name for name in self.architectures if not re.fullmatch("p[1-9][0-9]*", name)]:
            raise fault(f"architectures: unknown peer {strange[0]!r}, they are named p1, p2, …")
        if self.carries > self.peers:
            raise fault(f"carries is {self.carries}, but peers is {self.peers}: name one of them")
        _of_architectures(self)
        return self


def _of_architectures(section: AssistantSection | MutualSection) -> None:
    for key, given in (("inputs", section.inputs), ("initials", section.initials)):
        for name in given:
            if name not in section.architectures:
                raise fault(f"{key}: {unknown('network', name, section.architectures)}")
