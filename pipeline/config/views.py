"""The `views` section: what a view may do to an image."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pipeline.config.effect import Needs, text
from pipeline.config.numbers import Natural, Share
from pipeline.config.section import Section, fault

Preset = Literal["none", "light", "standard", "strong"]
PRESETS: dict[Preset, dict[str, Any]] = {
    "none": {},
    "light": {"flip": True, "scale": 0.5, "ratio": 4 / 3},
    # What ImageNet is usually trained with: torchvision's `RandomResizedCrop`, and timm's colour jitter.
    "standard": {
        "flip": True,
        "scale": 0.08,
        "ratio": 4 / 3,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
    },
    # torchvision's later recipe, without its mixing.
    "strong": {"flip": True, "scale": 0.08, "ratio": 4 / 3, "trivial_augment": True, "erasing": 0.1},
}

Alpha = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]


class Views(Section):
    """A preset, and what differs from it.

    shift: pixels of padding. flip: mirror left to right. scale: smallest area share of a random resized crop (1 = off).
    ratio: its largest width : height, whose inverse is the smallest.
    brightness, contrast, saturation, hue: strength of the colour jitter. trivial_augment: TrivialAugment, wide.
    erasing: how probable it is that a box becomes black. mixup, cutmix: parameter of their Beta distribution (0 = off).
    """

    NEEDS: ClassVar[Needs] = {"ratio": {"scale": None}}

    preset: Preset = Field(default="none", exclude=True)  # only what comes of it decides a view
    shift: Natural = 0
    flip: bool = False
    scale: float = Field(default=1.0, strict=True, gt=0, le=1)
    ratio: float = Field(default=1.0, strict=True, ge=1, le=10)
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: float = Field(default=0.0, strict=True, ge=0, le=0.5)
    trivial_augment: bool = False
    erasing: Share = 0.0
    mixup: Alpha = 0.0
    cutmix: Alpha = 0.0

    @model_validator(mode="before")
    @classmethod
    def fill_in(cls, values: Any) -> Any:
        """What the preset gives, where nothing else is said."""
        word = values.get("preset") if isinstance(values, Mapping) else None
        if not isinstance(word, str) or word not in PRESETS:
            return values
        filled = {**PRESETS[word], **values}
        if filled.get("scale") == 1 and "ratio" not in values:
            filled.pop("ratio", None)  # it goes with the crop that was switched off
        return filled

    @model_validator(mode="after")
    def refuse_overridden(self) -> Self:
        """A preset of which nothing is left, as where an older line beside it switches its operations off."""
        gives = PRESETS[self.preset]
        if gives and all(getattr(self, key) != value for key, value in gives.items()):
            found = " and ".join(f"{key} is {text(getattr(self, key))}" for key in gives)
            raise fault(
                f".preset has no effect where {found}: set one of them to what {self.preset} gives, or leave preset out"
            )
        return self

    @model_serializer(mode="wrap")
    def without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What decides a view: operations that are off are not named, so that a new one leaves old labels valid."""
        return {key: value for key, value in handler(self).items() if key in ALWAYS or value != getattr(STILL, key)}

    @property
    def changed(self) -> dict[str, Any]:
        """What is on, by its key."""
        return {key: value for key, value in self if key != "preset" and value != getattr(STILL, key)}

    @property
    def are_still(self) -> bool:
        """Whether all views are the clean image."""
        return not self.changed

    @property
    def mixes(self) -> bool:
        """Whether an image is mixed with another."""
        return bool(self.mixup or self.cutmix)


ALWAYS = ("shift", "flip", "scale")  # named since the first labels
STILL = Views()
