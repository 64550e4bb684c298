"""The spec of the stage that reads and splits the images."""

from dataclasses import dataclass
from typing import Any

from pipeline.planning.specs.spec import Code, SectionValues, Spec


@dataclass(frozen=True, kw_only=True)
class PrepareSpec(Spec):
    """How images are read and split.

    Attributes:
        files: What lies in a folder of images, so that a changed one is noticed; None of other sources.
        origins: Whether to write where each image came from: only where answers from elsewhere are to find theirs.
    """

    node: str
    data: SectionValues
    seed: int
    files: dict[str, Any] | None
    code: Code
    origins: bool | None = None
