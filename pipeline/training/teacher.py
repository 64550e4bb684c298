"""What a student learns from beside hard labels: no teacher, stored labels, or a live teacher."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.config.input import Input
from pipeline.data.rows import Rows, send
from pipeline.labels.labeller import forward_fixed
from pipeline.labels.store import Labels
from pipeline.models.shown import Shown
from pipeline.models.taps import shapes, tapped
from pipeline.objectives.pairing import Shapes
from pipeline.training.device import Device
from pipeline.training.replay import Replay


@dataclass(frozen=True)
class TeacherOutput:
    """The teacher's logits of a batch, and the features that were asked for, by tap name."""

    t_BC: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Teacher(Protocol):
    """Where the teacher's output comes from; `libraries` as of `LiveTeacher`."""

    libraries: dict[str, str]

    def output(self, v: int, rows: Rows, x_BCHW: Tensor) -> TeacherOutput:
        """The teacher's output for these rows in view `v`, whose pixels are x_BCHW."""
        ...

    def shapes(self) -> Shapes | None:
        """Shapes of the layers whose features the teacher can give; None where only its labels are there."""
        ...

    def tap(self, layers: Sequence[str]) -> None:
        """From now on, the output has the features of these layers, too."""
        ...

    def inputs(self) -> list[Input | None]:
        """Of each network that is fed the views; None is that of the data."""
        ...

    def show(self, shown: Shown) -> None:
        """From now on, views are of that kind."""
        ...


class NoTeacher:
    """No teacher: hard labels alone."""

    libraries: dict[str, str] = {}  # noqa: RUF012

    def output(self, v: int, rows: Rows, x_BCHW: Tensor) -> TeacherOutput:
        return TeacherOutput()

    def shapes(self) -> Shapes | None:
        return None

    def tap(self, layers: Sequence[str]) -> None:
        assert not layers

    def inputs(self) -> list[Input | None]:
        return []

    def show(self, shown: Shown) -> None:
        pass


class StoredLabels(NoTeacher):
    """The teacher ran once: its labels of V views."""

    def __init__(self, labels: Labels, device: Device) -> None:
        self.labels = labels
        self.device = device
        header = labels.header
        self.fits = 4 * header.count * len(header.classes) <= device.room()
        self._v: int | None = None
        self._t_NC = torch.empty(0)

    def output(self, v: int, rows: Rows, x_BCHW: Tensor) -> TeacherOutput:
        if not self.fits:
            return TeacherOutput(send(self.labels.rows(v, rows.host_B), self.device.where))
        if v != self._v:
            self._t_NC = torch.empty(0)  # so that two views are never there together
            self._v, self._t_NC = v, self.labels.view(v).to(self.device.where)
        return TeacherOutput(self._t_NC[rows.device_B])


class LiveTeacher:
    """The teacher runs at each step, on the very view that the student sees.

    Args:
        model: The teacher, in eval mode; it stays there.
        batch_size: Images a forward pass: that of the labels which it stands for.
        channels, size: Of its images.
        input: What it is fed; None where that is what the data has.
        libraries: The versions of what built it, where that is no code of ours.
    """

    def __init__(
        self,
        model: nn.Module,
        device: Device,
        batch_size: int,
        channels: int,
        size: int,
        input: Input | None = None,
        libraries: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.device = device
        self.input = input
        self.libraries = dict(libraries or {})
        self.forward: Callable[[Tensor], Tensor] = device.forward(model)
        self.batch_size = batch_size
        self.layers = shapes(model, channels, size)
        self._hooks = ExitStack()
        self.features: dict[str, Tensor] = {}
        self.replay = Replay(self._output, device.where, "the teacher's forward pass")

    def output(self, v: int, rows: Rows, x_BCHW: Tensor) -> TeacherOutput:
        return TeacherOutput(*self.replay(x_BCHW))

    def _output(self, x_BCHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        passes: list[dict[str, Tensor]] = []

        def forward(part_BCHW: Tensor) -> Tensor:
            t_BC = self.forward(part_BCHW)
            passes.append(dict(self.features))
            return t_BC

        with torch.no_grad():
            t_BC = forward_fixed(forward, x_BCHW, self.batch_size)
        features = {name: torch.cat([each[name] for each in passes])[: len(x_BCHW)] for name in self.features}
        return t_BC, features

    def shapes(self) -> Shapes | None:
        return self.layers

    def inputs(self) -> list[Input | None]:
        return [self.input]

    def show(self, shown: Shown) -> None:
        self.forward = self.device.forward(self.model, shown.to(self.input))

    def tap(self, layers: Sequence[str]) -> None:
        self.features = self._hooks.enter_context(tapped(self.model, layers))
