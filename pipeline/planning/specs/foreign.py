"""Specs of a teacher that is no network of ours: answers in a file, or an ONNX model."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.planning.specs.spec import Settings
from pipeline.planning.specs.training import ForwardSettings, NetworkSpec


@dataclass(frozen=True, kw_only=True)
class AnswersFile(Settings):
    """Answers that were computed elsewhere; `for_views` as in params.yaml."""

    file: str
    sha256: str
    for_views: Literal["own", "clean"] | None


@dataclass(frozen=True, kw_only=True)
class OnnxFile(Settings):
    """An ONNX model, and what is known of it beside the file.

    Attributes:
        input: What params.yaml gives of what it is fed; None where that is nothing.
    """

    file: str
    sha256: str
    classes: tuple[str, ...] | None
    gives: Literal["logits", "probabilities"]
    input: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class ForeignSpec(NetworkSpec):
    """A teacher that leaves labels and predictions as any node does, and has no weights of ours."""

    images: ForwardSettings

    @property
    def forward(self) -> ForwardSettings:
        """How images are shown to it."""
        return self.images


@dataclass(frozen=True, kw_only=True)
class AnswersSpec(ForeignSpec):
    """Answers in a file."""

    action: Literal["answers"] = "answers"
    answers: AnswersFile


@dataclass(frozen=True, kw_only=True)
class OnnxSpec(ForeignSpec):
    """An ONNX model."""

    action: Literal["onnx"] = "onnx"
    onnx: OnnxFile
