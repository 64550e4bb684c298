"""The `data` section: which images, and how they are split."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config.extension import SOURCES, Extended, ExtensionPoint
from pipeline.config.numbers import Count, Share

Edge = Annotated[Count, Field(le=4096)]  # beyond, one batch would not fit any memory


class Data(Extended):
    """Source and split of the images. Further keys are those that the file of the source declares."""

    point: ClassVar[ExtensionPoint] = SOURCES
    chosen_by: ClassVar[str] = "source"

    source: str = "digits"
    root: str = "data"
    size: Edge | None = None
    grayscale: bool = False
    per_class: Count | None = None
    validation: float = Field(default=0.2, strict=True, gt=0, lt=1)
    test: float = Field(default=0.2, strict=True, gt=0, lt=1)
    label_noise: Share = 0.0
