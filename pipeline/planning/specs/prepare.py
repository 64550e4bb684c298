"""The spec of the stage that reads and splits the images."""

from dataclasses import dataclass
from typing import Any

from pipeline.planning.specs.spec import Code, SectionValues, Spec


@dataclass(frozen=True, kw_only=True)
class PrepareSpec(Spec):
    """`files`: what lies in a folder of images, so that a changed one is noticed; None of other sources."""

    node: str
    data: SectionValues
    seed: int
    files: dict[str, Any] | None
    code: Code
