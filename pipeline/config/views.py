"""The `views` section: what a view may do to an image."""

from pydantic import Field

from pipeline.config.numbers import Natural
from pipeline.config.section import Section


class Views(Section):
    """Shift in pixels, horizontal flip, smallest area share of a random resized crop (1 = off)."""

    shift: Natural = 0
    flip: bool = False
    scale: float = Field(default=1.0, strict=True, gt=0, le=1)

    @property
    def mixes(self) -> bool:
        """Whether an image of a view may be mixed of several: none is."""
        return False
