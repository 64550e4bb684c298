"""What a network is fed: the size, normalisation and framing of its images. Nothing here imports pydantic or torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pipeline.base.errors import UserError

Framing = Literal["crop", "squash", "pad"]


@dataclass(frozen=True)
class Rendering:
    """At which edge in pixels a network is shown stored images, and how those become square: as of `Input`."""

    size: int
    framing: Framing = "crop"
    margin: float = 0.0


@dataclass(frozen=True)
class Input:
    """The input of a network, where it is not that of the data.

    Attributes:
        size: Edge of its square images in pixels.
        mean, std: Per channel, of pixels / 255.
        framing: How an image of another shape becomes square: its middle is cropped, it is squashed, or it is padded.
            Applied where images are stored encoded; images that are stored as pixels are square already.
        margin: Share of the edges of what is framed that is left out, likewise.

    Raises:
        ValueError: One of them is of another kind.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    framing: Framing = "crop"
    margin: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if type(self.size) is not int or self.size < 1:
            raise ValueError(f"its input has the size {self.size!r}")
        if not self.mean or len(self.mean) != len(self.std) or not all(each > 0 for each in self.std):
            raise ValueError("its input has no mean and deviation above 0 for each channel")
        if self.framing not in get_args(Framing) or not 0 <= self.margin < 1:
            raise ValueError(f"its input has the framing {self.framing!r} with a margin of {self.margin!r}")

    @property
    def rendering(self) -> Rendering:
        """What of it decides pixels before they are normalised."""
        return Rendering(self.size, self.framing, self.margin)

    def as_json(self) -> dict[str, Any]:
        """As specs and node.json hold it."""
        return {key: [*value] if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def words(self) -> str:
        """As one reads it, e.g. `224 pixels, mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225`."""
        mean, std = (" ".join(f"{each:.3g}" for each in numbers) for numbers in (self.mean, self.std))
        return f"{self.size} pixels, mean {mean}, deviation {std}"


def of_json(value: Mapping[str, Any] | None) -> Input | None:
    """What `as_json` made a value of; None where there is none. Raises `ValueError` for any other."""
    if value is None:
        return None
    try:
        return Input(**value)
    except TypeError as error:
        raise ValueError(f"its input cannot be read ({error})") from None


def complete(of_data: Input, configured: Mapping[str, Any], given: Mapping[str, Any], where: str) -> Input | None:
    """The input of a network; None where it is that of the data.

    Args:
        of_data: What the prepared images have.
        configured: What its pretrained weights were trained with.
        given: What params.yaml says of it, at the key `where`.

    Raises:
        UserError: Means or deviations are given of another number of channels than the images have.
    """
    channels = len(of_data.mean)
    for key in ("mean", "std"):
        if key in given and len(given[key]) != channels:
            raise UserError(
                f"{where}.{key} has {len(given[key])} numbers and the images have {channels} channels: give as many"
            )
    # Of a grey image, a network for colours is fed a mean of its own three.
    known = {
        key: [sum(value) / len(value)] * channels if key in ("mean", "std") and len(value) != channels else value
        for key, value in configured.items()
    }
    found = Input(**{**of_data.as_json(), **known, **given})
    return None if found == of_data else found
