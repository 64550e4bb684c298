"""Specs of stages that make a network, and of those among them that train it."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.config.select import Select
from pipeline.planning.specs.spec import Code, NodeSpec, SectionValues, Settings

TermSettings = dict[str, dict[str, Any]]  # settings of each term


@dataclass(frozen=True, kw_only=True)
class ForwardSettings(Settings):
    """How images are shown to a network, in training or not."""

    views: SectionValues
    views_seed: int
    precision: str


@dataclass(frozen=True, kw_only=True)
class LabelSettings(Settings):
    """How a node writes its soft labels: how many views beside the clean one, and in which form.

    Attributes:
        views: As many as its longest student asks for; 0 where it teaches nobody.
        distinct: The distinct views of every arm of a comparison; where it is None, as many as `max_bytes` holds.
    """

    views: int
    distinct: int | None
    max_bytes: int
    kind: Literal["auto", "dense", "topk", "lowrank"]
    k: int | None
    batch_size: int
    rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsFile(Settings):
    """Weights that were trained elsewhere.

    Attributes:
        classes: Their names, in the order of the rows of its last layer; None where the file itself says it, or says
            nothing.
        head: Whether the last layer is a fresh one; None where it is the file's.
        expect: The accuracy on validation that is known of them.
    """

    file: str
    sha256: str
    classes: tuple[str, ...] | None = None
    head: Literal["new"] | None = None
    expect: float | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """One network of a training; `input` and `initial_file` as of `TrainingSettings`."""

    architecture: dict[str, Any]
    objective: TermSettings
    seed: int
    input: dict[str, Any] | None = None
    initial_file: WeightsFile | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(ForwardSettings):
    """What decides trained weights, besides code and what is read: the key of saved state is made of it.

    Attributes:
        architecture: None where it is that of the node before.
        input: What params.yaml gives of what the network is fed; None where that is nothing. The stage fills in the
            whole of it (`config.input`), or None where it is that of the data.
        initial_file: The weights that it begins with, where those are of a file.
        seed: Decides the order of batches, too.
        stream: Of views. None where it is that which the teacher labels: its node says so, and the stage fills it in.
        distinct_views: After so many, the first one comes again; None where none comes twice. The stage fills it in,
            as it knows the number of images.
        views_before: Of the stream, those that the weights which it begins with were trained on.
        settings: A compress step's own, beyond these; None where it has none.
        update, members: Of networks that teach each other, on the batches of the first one.
        select: The metric by which validation decides while it trains; None is accuracy, or that it decides nothing.
    """

    architecture: dict[str, Any] | None
    objective: TermSettings
    recipe: SectionValues
    teaching: Literal["stored", "live"]
    teacher_batch: int | None
    seed: int
    stream: str | None = None
    distinct_views: int | None = None
    views_before: int | None = None
    settings: dict[str, Any] | None = None
    input: dict[str, Any] | None = None
    initial_file: WeightsFile | None = None
    update: Literal["sequential", "simultaneous"] | None = None
    members: tuple[NetworkSettings, ...] | None = None
    select: Select | None = None


@dataclass(frozen=True, kw_only=True)
class GridSettings(Settings):
    """Of the grids on which a network computes."""

    weight_bits: int
    activation_bits: int | None


@dataclass(frozen=True, kw_only=True)
class TuneSettings(TrainingSettings):
    """The network of the node before learns on, on grids where there are bits."""

    bits: GridSettings | None


@dataclass(frozen=True, kw_only=True)
class StopRule(Settings):
    """When a chain has stopped rising."""

    patience: int | None
    min_gain: float


@dataclass(frozen=True, kw_only=True)
class NetworkSpec(NodeSpec):
    """A stage that makes a network of its own.

    Attributes:
        previous: The node before it in its chain, where it is in one.
        continues_chain: Whether that is a link of the same chain, and not what the chain starts from.
        has_logits: Whether its logits mean anything; else only its lower part was trained.
        code: Fingerprints of what decides the weights (`training`), and of what decides all that is left (`stage`).
        labels: The soft labels to write.
        select: The metric on validation that its chain tells; None is accuracy.
    """

    previous: str | None
    continues_chain: bool
    has_logits: bool
    labels: LabelSettings
    code: Code
    select: Select | None = None

    @property
    def forward(self) -> ForwardSettings:
        """How images are shown to it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainingSpec(NetworkSpec):
    """A stage that trains.

    Attributes:
        teacher: The node that it learns from; None where it learns from hard labels, or from its peers.
        initial: The node whose weights it begins with.
    """

    teacher: str | None
    training: TrainingSettings | TuneSettings
    initial: str | None = None

    @property
    def forward(self) -> ForwardSettings:
        """How images are shown to it."""
        return self.training


@dataclass(frozen=True, kw_only=True)
class TrainSpec(TrainingSpec):
    """A network of the lineage.

    Attributes:
        stop: When the chain has stopped rising, so that this link carries the one before.
        weights: What to import in place of training.
        carries: Of networks that teach each other, the number (from 1) of the one that the node stands for.
        unlimited: It sees a new view at each epoch; this node is the same training with as many as the others see,
            and is carried where that limits nothing.
    """

    action: Literal["train"] = "train"
    training: TrainingSettings
    stop: StopRule | None = None
    weights: WeightsFile | None = None
    carries: int | None = None
    unlimited: str | None = None
