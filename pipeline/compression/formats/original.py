"""What a file for another runtime is made of, and why there may be none.

Legend: B images of a batch, C channels, H = W edge in pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base import files, programs
from pipeline.base.errors import UserError
from pipeline.compression.card import Card, read_card
from pipeline.compression.export_onnx import Shipped

CARD = "card.json"
# Pixels 0 .. 1, float32 (B, C, H, W), to logits float32 (B, classes).
Answer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Original:
    """The file that ships first, what it says of itself, and what builds the network in torch, where there is one.

    Attributes:
        network: In float32; of a quantised file what that was made from.
        litert: The interpreter in which litert-torch is installed.
    """

    onnx: Path
    card: Card
    network: Callable[[], nn.Module] | None
    litert: str | None = None

    def shipped(self) -> tuple[nn.Module, Tensor]:
        """The network that normalises by itself, pixels to logits, and one image x_BCHW to take it apart with.

        Raises:
            NotRun: There is none.
        """
        if self.network is None:
            raise NotRun("beside this file there is no network in torch")
        x_BCHW = torch.full((1, self.card.channels, self.card.size, self.card.size), 0.5)
        return Shipped(self.network(), self.card).eval(), x_BCHW


class NotRun(Exception):
    """Why a format cannot be written or run here, in a few words."""


def convert(name: str, command: Sequence[str], written: Path, patience: float) -> None:
    """Run a converter that is to write that file within so many seconds.

    Raises:
        NotRun: It did not.
    """
    try:
        ran = programs.run([*command], patience)
    except UserError as error:
        raise NotRun(str(error)) from None
    if ran.returncode or not written.exists():
        last = (ran.stderr.strip() or ran.stdout.strip() or "no word").splitlines()[-1]
        raise NotRun(f"{name} cannot convert it (exit status {ran.returncode}): {last}")


def write_card(card: Card, folder: Path) -> None:
    """Lay it beside a file that can hold nothing of the kind."""
    files.write_json(folder / CARD, dict(card.properties()))


def card_beside(folder: Path) -> Card:
    """What `write_card` has laid there."""
    return read_card(files.read_json(folder / CARD), str(folder / CARD))
