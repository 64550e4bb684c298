"""Specs of the steps of the compress chain: those that train, and those that compute."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.planning.specs.training import ForwardSettings, NetworkSpec, TrainingSettings, TrainingSpec, TuneSettings


@dataclass(frozen=True, kw_only=True)
class TrainStepSpec(TrainingSpec):
    """A step that trains: a fresh network, or that of the node before, which learns on."""

    action: Literal["compress"] = "compress"
    step: str
    kind: str
    previous: str
    training: TrainingSettings | TuneSettings


@dataclass(frozen=True, kw_only=True)
class ComputeStepSpec(NetworkSpec):
    """A step that computes from the weights of the node before.

    Attributes:
        settings: The step's own, as params.yaml gives them; what is not given is absent.
        about: What the card of a file that ships says of the run: its images and its seeds.
    """

    action: Literal["compress"] = "compress"
    step: str
    kind: str
    previous: str
    settings: dict[str, Any]
    images: ForwardSettings
    about: dict[str, Any] | None = None

    @property
    def forward(self) -> ForwardSettings:
        """How images are shown to it."""
        return self.images


StepSpec = TrainStepSpec | ComputeStepSpec
