"""The `data` section: which images, and how they are split."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.numbers import Count, Share
from pipeline.config.section import Section

Edge = Annotated[Count, Field(le=4096)]  # beyond, one batch would not fit any memory


class Data(Section):
    """Source and split of the images."""

    source: Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "imagefolder"] = "digits"
    root: str = "data"
    download: bool = True
    links: bool = False
    size: Edge | None = None
    grayscale: bool = False
    per_class: Count | None = None
    validation: float = Field(default=0.2, strict=True, gt=0, lt=1)
    test: float = Field(default=0.2, strict=True, gt=0, lt=1)
    label_noise: Share = 0.0
