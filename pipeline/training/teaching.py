"""How a student hears its teacher: not at all, from stored labels, or live.

All three name the stream of views and the view of each epoch, so that what a student sees and what its
teacher says of it always belong together.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.data.rows import Rows, send
from pipeline.labels.labeller import forward_fixed
from pipeline.labels.store import Labels
from pipeline.models.taps import shapes, tapped
from pipeline.objectives.pairing import Shapes
from pipeline.training.device import Device


@dataclass(frozen=True)
class Heard:
    """What the teacher says of a batch: its logits, and the features that were asked for, by tap name."""

    t_BC: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Teaching(Protocol):
    """Where what the teacher says comes from."""

    stream: str

    def view(self, epoch: int) -> int:
        """The view that epoch `epoch` (from 0) shows."""
        ...

    def hear(self, v: int, rows: Rows, x_BCHW: Tensor) -> Heard:
        """What the teacher says of these rows in view `v`, whose pixels are x_BCHW."""
        ...

    def shapes(self) -> Shapes | None:
        """Shapes of the layers that the teacher can show; None where only its labels are there."""
        ...

    def show(self, layers: Sequence[str]) -> None:
        """From now on, hear the features of these layers too."""
        ...


class Alone:
    """No teacher: fresh views of the training stream, for ever."""

    stream = "train"

    def view(self, epoch: int) -> int:
        return epoch + 1

    def hear(self, v: int, rows: Rows, x_BCHW: Tensor) -> Heard:
        return Heard()

    def shapes(self) -> Shapes | None:
        return None

    def show(self, layers: Sequence[str]) -> None:
        assert not layers


class Stored(Alone):
    """The teacher spoke once: its labels of V views, over and over."""

    stream = "labels"

    def __init__(self, labels: Labels, device: Device) -> None:
        self.labels = labels
        self.device = device
        header = labels.header
        self.fits = 4 * header.count * len(header.classes) <= device.room()
        self._v: int | None = None
        self._t_NC = torch.empty(0)

    def view(self, epoch: int) -> int:
        return 1 + epoch % self.labels.views

    def hear(self, v: int, rows: Rows, x_BCHW: Tensor) -> Heard:
        if not self.fits:
            return Heard(send(self.labels.rows(v, rows.host_B), self.device.where))
        if v != self._v:
            self._t_NC = torch.empty(0)  # so that two views are never there together
            self._v, self._t_NC = v, self.labels.view(v).to(self.device.where)
        return Heard(self._t_NC[rows.device_B])


class Live:
    """The teacher runs at each step, on the very pixels that the student sees.

    Args:
        model: The teacher, in eval mode; it stays there.
        batch_size: Images a forward pass: that of the labels which it stands for.
        channels, size: Of the data.
    """

    stream = "labels"

    def __init__(self, model: nn.Module, device: Device, batch_size: int, channels: int, size: int) -> None:
        self.model = model.eval().requires_grad_(False)
        self.forward: Callable[[Tensor], Tensor] = device.forward(model)
        self.batch_size = batch_size
        self.layers = shapes(model, channels, size)
        self._hooks = ExitStack()
        self.features: dict[str, Tensor] = {}

    def view(self, epoch: int) -> int:
        return 1 + epoch

    def hear(self, v: int, rows: Rows, x_BCHW: Tensor) -> Heard:
        passes: list[dict[str, Tensor]] = []

        def answer(part_BCHW: Tensor) -> Tensor:
            t_BC = self.forward(part_BCHW)
            passes.append(dict(self.features))
            return t_BC

        with torch.no_grad():
            t_BC = forward_fixed(answer, x_BCHW, self.batch_size)
        features = {name: torch.cat([each[name] for each in passes])[: len(x_BCHW)] for name in self.features}
        return Heard(t_BC, features)

    def shapes(self) -> Shapes | None:
        return self.layers

    def show(self, layers: Sequence[str]) -> None:
        self.features = self._hooks.enter_context(tapped(self.model, layers))
