"""A linear probe: where all but the head is frozen, what the head is given is computed once a view.

The views are those of any training: each epoch has its own until they come again (`data.views`). So there are as many
passes through the network as distinct views, one where views change nothing, and each further epoch is of the head
alone. Features are computed in passes of one size, kept or not, so that room decides no bit (see `labels.labeller`).

Legend: M images that are learned from, B batch, C channels of images, or classes of logits, D features, H = W edge in
pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.rows import Rows
from pipeline.labels.labeller import forward_fixed
from pipeline.models.taps import tapped
from pipeline.training.learner import Learner

View = Callable[[Sequence[Rows]], Iterable[Tensor]]  # the pixels of some batches of rows


def head_of(learner: Learner, layer: str, channels: int, size: int) -> nn.Linear | None:
    """The linear layer that is all that learns and takes nothing but `layer`; None where it is not so."""
    learning = [
        each for each in learner.model.modules() if any(p.requires_grad for p in each.parameters(recurse=False))
    ]
    if len(learning) != 1 or not isinstance(head := learning[0], nn.Linear) or learner.objective.student_layers:
        return None
    where = learner.device.where
    x_BCHW = torch.rand(32, channels, size, size, generator=torch.Generator().manual_seed(0)).to(where)
    with torch.random.fork_rng([where] if where.type == "cuda" else []), torch.no_grad():
        learner.train()
        with tapped(learner.model, [layer]) as outputs:
            z_BC = learner.forward(x_BCHW)
        with learner.device.computing():
            # Something in between, such as dropout, would show.
            return head if outputs[layer].ndim == 2 and torch.equal(head(outputs[layer]).float(), z_BC) else None


class Probe:
    """What a frozen network gives its head.

    Args:
        learner: Its network is frozen up to `layer`, of which `head` takes the features.
        rows_M: The rows that are learned from, int64, rising.
        batch_size: Images of a forward pass.
        is_still: Whether all views are alike.
    """

    def __init__(
        self, learner: Learner, layer: str, head: nn.Linear, rows_M: np.ndarray, batch_size: int, is_still: bool
    ) -> None:
        self.learner = learner
        self.layer = layer
        self.head = head
        self.rows = Rows.on(learner.device.where, rows_M)
        self.batch_size = batch_size
        self.is_still = is_still
        self.most = learner.device.room() // (4 * len(rows_M) * head.in_features)  # views that may be kept
        self._kept: dict[int, Tensor] = {}

    def forward(self, e_BD: Tensor) -> Tensor:
        """Logits, float32, of features."""
        with self.learner.device.computing():
            return self.head(e_BD).float()

    def features(self, v: int, batches: Sequence[Rows], view: View) -> Iterator[Tensor]:
        """The features e_BD of each batch of rows in view `v`, whose pixels `view` gives."""
        v = 0 if self.is_still else v
        if v not in self._kept and len(self._kept) >= self.most:
            yield from map(self._features, view(batches))
            return
        if v not in self._kept:
            rows = self.rows.split(self.batch_size)
            self._kept[v] = torch.cat([self._features(x_BCHW) for x_BCHW in view(rows)])
        yield from (self._kept[v][torch.searchsorted(self.rows.device_B, rows.device_B)] for rows in batches)

    def _features(self, x_BCHW: Tensor) -> Tensor:
        whole = self.learner.forward_of(self.learner.model)

        def forward(part_BCHW: Tensor) -> Tensor:
            with tapped(self.learner.model, [self.layer]) as outputs:
                whole(part_BCHW)
            return outputs[self.layer]

        with torch.no_grad():
            return forward_fixed(forward, x_BCHW, self.batch_size)
