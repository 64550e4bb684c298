"""What a file for another runtime is made of, and why there may be none.

Legend: B images of a batch, C channels, H = W edge in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from pipeline.compression.card import Card

# Pixels 0 .. 1, float32 (B, C, H, W), to logits float32 (B, classes).
Answer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Original:
    """The file that ships first, what it says of itself, and what builds the network in torch, where there is one."""

    onnx: Path
    card: Card
    network: Callable[[], nn.Module] | None


class NotRun(Exception):
    """Why a format cannot be written or run here, in a few words."""
