"""What a file for another runtime is made of, and why there may be none.

Legend: B images of a batch, C channels, H = W edge in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.compression.card import Card
from pipeline.compression.export_onnx import Shipped

CARD = "card.json"  # beside a file that can hold nothing of the kind
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
