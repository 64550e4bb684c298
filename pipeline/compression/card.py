"""What a shipped model says about itself: all that is needed to use it beside its graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.base.errors import UserError
from pipeline.config.colour import Background
from pipeline.config.input import Framing
from pipeline.config.numbers import Between, Count, Positive, Share

SCHEMA = 1
PREFIX = "cohobate."
WITH_PIXELS, IMAGE = "model-pixels.onnx", "image"  # the file that crops and resizes by itself, and what it takes
BLACK = (0, 0, 0)  # the background of files that were exported before they told it


@dataclass(frozen=True)
class Card:
    """Classes in the order of the logits; size: edge of the square images in pixels.

    mean, std: per channel, of pixels / 255. The graph normalises with them by itself; they are told, not needed.
    framing, margin: how an image file becomes square, as of `config.input`; None where its middle square is cropped.
    background: red, green and blue that show through where an image file is transparent; None is black.
    temperature: what logits are divided by, so that probabilities mean what they say; None of a file without any.
    threshold: the probability from which on an answer is given, of which `error` is the share that is wrong at most;
    None where every image is answered.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: Count
    size: Count
    framing: Framing | None = None
    margin: float | None = None
    background: Background | None = None
    temperature: Positive | None = None
    error: Between | None = None
    threshold: Share | None = None

    def properties(self) -> dict[str, str]:
        """Text properties for a file's metadata, each value JSON."""
        told = {key: value for key, value in asdict(self).items() if value is not None}
        return {f"{PREFIX}{key}": json.dumps(value) for key, value in ({"schema": SCHEMA} | told).items()}


def read_card(properties: Mapping[str, str], where: str) -> Card:
    """The card among a file's text properties; `where` names the file. Anything amiss is a `UserError`."""
    own = {key.removeprefix(PREFIX): value for key, value in properties.items() if key.startswith(PREFIX)}
    if not own:
        raise UserError(f"{where} says nothing of its classes and images: use a model that this pipeline exported")
    try:
        found: dict[str, Any] = {key: json.loads(value) for key, value in own.items()}
        if found.pop("schema", None) != SCHEMA:
            raise UserError(f"{where} is not of schema {SCHEMA}: export it anew")
        card = TypeAdapter(Card).validate_python(found)
    except (ValueError, RecursionError, ValidationError) as error:
        raise UserError(f"{where} has metadata that cannot be read ({_first_line(error)}): export it anew") from None
    if not len(card.mean) == len(card.std) == card.channels or not all(card.std):
        raise UserError(f"{where} has {card.channels} channels but not as many means and deviations: export it anew")
    return card


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
