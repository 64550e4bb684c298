"""The `data` section: which images, and how they are split."""

import math
import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.config.colour import Background
from pipeline.config.effect import Needs, sentence
from pipeline.config.extension import SOURCES, Extended, ExtensionPoint
from pipeline.config.numbers import Amount, Count, Share
from pipeline.config.section import fault

Edge = Annotated[Count, Field(le=4096)]  # beyond, one batch would not fit any memory


class Data(Extended):
    """Source and split of the images, and how they are read. Further keys are those that the source's file declares.

    The constant `WITHOUT` of that file names the keys here that mean nothing for it.
    """

    point: ClassVar[ExtensionPoint] = SOURCES
    chosen_by: ClassVar[str] = "source"

    NEEDS: ClassVar[Needs] = {"store_size": {"storage": ("auto", "encoded")}}

    source: str = "digits"
    root: str = "data"
    size: Edge | None = None
    storage: Literal["auto", "pixels", "encoded"] = "auto"
    store_size: Edge | None = None
    grayscale: bool = False
    per_class: Amount | None = None
    validation: float = Field(default=0.2, strict=True, gt=0, lt=1)
    test: float = Field(default=0.2, strict=True, gt=0, lt=1)
    label_noise: Share = 0.0
    group: str | None = None
    unreadable: Literal["refuse", "skip"] = "refuse"
    background: Background = (255, 255, 255)

    @field_validator("group")
    @classmethod
    def refuse_pattern(cls, pattern: str | None) -> str | None:
        """A pattern is a regular expression, and its one group is what images have in common."""
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise fault(f"is no regular expression ({error}): correct {pattern!r}") from None
        if groups != 1:
            raise fault(f"must have one group in parentheses, such as '([^/]*)_[0-9]+[.]', not {groups}: {pattern!r}")
        return pattern

    @model_validator(mode="after")
    def refuse_without(self) -> Self:
        """Images that are grey, or have a test split of their own, leave nothing to some keys."""
        without = {name: SOURCES.constant(name, "WITHOUT") or () for name in SOURCES.names()}
        for key in without[self.source]:
            if getattr(self, key) != type(self).model_fields[key].default:
                others = [name for name in without if key not in without[name]]
                raise fault(f".{key} {sentence(key, {'source': self.source}, {'source': others})}")
        return self

    @model_validator(mode="after")
    def refuse_smaller_store(self) -> Self:
        """What is encoded is larger than what is made of it, of which the size must be known."""
        if self.size is None and self.storage == "encoded":
            raise fault(".size is null: set it to the edge in pixels that encoded images are decoded to")
        if self.store_size is not None and self.store_size < (self.size or math.inf):
            least = "a data.size no larger" if self.size is None else f"data.size, {self.size}, or more"
            raise fault(f".store_size is {self.store_size} and needs {least}, or leave it out")
        return self
