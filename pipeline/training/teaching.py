"""How a student hears its teacher: not at all, from stored labels, or live.

All three name the stream of views and the view of each epoch, so that what a student sees and what its
teacher says of it always belong together.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from pipeline.labels.labeller import forward_fixed
from pipeline.labels.store import Labels


class Teaching(Protocol):
    """Where the teacher's logits of an epoch come from."""

    stream: str

    def view(self, epoch: int) -> int:
        """The view that epoch `epoch` (from 0) shows."""
        ...

    def hear(self, v: int) -> Callable[[Tensor, Tensor], Tensor | None]:
        """A function (rows_B, x_BCHW) -> t_BC for view `v`; None where nobody teaches."""
        ...


class Alone:
    """No teacher: fresh views of the training stream, for ever."""

    stream = "train"

    def view(self, epoch: int) -> int:
        return epoch + 1

    def hear(self, v: int) -> Callable[[Tensor, Tensor], Tensor | None]:
        return lambda rows_B, x_BCHW: None


class Stored:
    """The teacher spoke once: its labels of V views, over and over."""

    stream = "labels"

    def __init__(self, labels: Labels, device: torch.device) -> None:
        self.labels = labels
        self.device = device

    def view(self, epoch: int) -> int:
        return 1 + epoch % self.labels.views

    def hear(self, v: int) -> Callable[[Tensor, Tensor], Tensor | None]:
        def answer(rows_B: Tensor, x_BCHW: Tensor) -> Tensor:
            return self.labels.rows(v, rows_B).to(self.device, non_blocking=True)

        return answer


class Live:
    """The teacher runs at each step, on the very pixels that the student sees."""

    stream = "labels"

    def __init__(self, forward: Callable[[Tensor], Tensor], batch_size: int) -> None:
        self.forward = forward
        self.batch_size = batch_size

    def view(self, epoch: int) -> int:
        return 1 + epoch

    def hear(self, v: int) -> Callable[[Tensor, Tensor], Tensor | None]:
        def answer(rows_B: Tensor, x_BCHW: Tensor) -> Tensor:
            with torch.no_grad():
                return forward_fixed(self.forward, x_BCHW, self.batch_size)

        return answer
