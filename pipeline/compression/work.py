"""What a step of the compress chain works with, and what it makes.

Legend: B images of a batch, C channels, H = W edge in pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.data.batches import order
from pipeline.data.feed import augment_ahead, fed
from pipeline.data.pictures import clean
from pipeline.data.rows import Rows
from pipeline.data.views import draw
from pipeline.models.build import SUPPLIED, build, unsupplied
from pipeline.models.shown import Shown, resized
from pipeline.models.surgery import describe
from pipeline.planning.specs.compress import ComputeStepSpec
from pipeline.planning.specs.training import TuneSettings
from pipeline.training.answers import check_answers
from pipeline.training.export import Result
from pipeline.training.inputs import of_data, supplied
from pipeline.training.learn import load

if TYPE_CHECKING:
    import numpy as np

    from pipeline.compression.card import Card
    from pipeline.compression.promise import Demand
    from pipeline.config.input import Rendering
    from pipeline.config.views import Views
    from pipeline.data.encoded import EncodedImages
    from pipeline.data.prepared import Prepared
    from pipeline.lineage.node import Node
    from pipeline.planning.specs.compress import StepSpec
    from pipeline.training.device import Device

BATCH = 64  # images a pass, for what looks at training views
STREAM = "compress"  # of views: none that a network was trained on


@dataclass(frozen=True)
class Work:
    """One step: its spec, the data, where to compute, and the node that it starts from."""

    spec: StepSpec
    data: Prepared
    device: Device
    views: Views
    previous: Node

    @property
    def settings(self) -> dict[str, Any]:
        """The step's own, as `run` of its file takes them; what is not given is absent."""
        if isinstance(self.spec, ComputeStepSpec):
            return self.spec.settings
        # Of a step that trains they are part of what its saved state is bound to.
        training = self.spec.training
        bits = training.bits.as_json() if isinstance(training, TuneSettings) and training.bits else {}
        return {**bits, **(training.settings or {})}

    @property
    def of_images(self) -> dict[str, int]:
        """Channels and edge of the images of the node before, as what measures its network takes them."""
        return {"channels": self.data.channels, "size": supplied(self.data, self.previous.input)["size"]}

    @property
    def card(self) -> Card:
        """What a file that ships says of itself."""
        return card_of(self.previous, self.data)

    def model(self, device: Device | None = None) -> nn.Module:
        """The network of the node before, in eval mode."""
        device = device or self.device
        model = load(self.previous, device).eval()
        check_answers(self.previous, model, self.data, device)
        return model

    def batches(self, count: int, *, normalised: bool = True) -> Iterator[Tensor]:
        """`count` batches of training views x_BCHW, as the network of the node before takes them, or those as pixels
        0 .. 1; all of one size."""
        data, where, input = self.data, self.device.where, self.previous.input
        shown = Shown([input], data.mean, data.std, where, data.rendering(None))
        if normalised:
            return islice(map(shown.to(input), self._batches(shown.renderings, shown.mean_C, shown.std_C)), count)
        mean_C, std_C = (torch.tensor(each, device=where) for each in ([0.0] * data.channels, [1.0]))
        size = self.of_images["size"]
        return (resized(x_BCHW, size) for x_BCHW in islice(self._batches(shown.renderings, mean_C, std_C), count))

    def images(self, split: str) -> np.ndarray | EncodedImages:
        """The clean images of a split, uint8 (N, C, H, W), as the network of the node before is shown them."""
        return clean(getattr(self.data, split).images, self.data.rendering(self.previous.input))

    def _batches(self, renderings: Sequence[Rendering], mean_C: Tensor, std_C: Tensor) -> Iterator[Tensor]:
        data, where, seed = self.data, self.device.where, self.spec.forward.views_seed
        images = fed(data.train.images, renderings, where, self.device.room())
        size = min(BATCH, len(images))
        for v in itertools.count(1):
            drawn = draw(self.views, seed, STREAM, v, len(images), data.size, data.train.aspect_N)
            whole = len(images) // size * size
            rows = Rows.on(where, order(seed, v, len(images))[:whole]).split(size)
            yield from augment_ahead(images, drawn, rows, mean_C, std_C)


def card_of(node: Node, data: Prepared) -> Card:
    """What a file that ships a node's network says of it."""
    from pipeline.compression.card import Card

    input = node.input or of_data(data)
    # Images that are stored as pixels were made square before any network was shown them.
    rendering = data.rendering(node.input) if node.input else None
    return Card(
        classes=data.classes,
        mean=input.mean,
        std=input.std,
        channels=data.channels,
        size=input.size,
        framing=rendering and rendering.framing,
        margin=rendering and rendering.margin,
        background=data.background,
    )


@dataclass(frozen=True)
class ChangedNetwork:
    """A torch network that a step made: how it came to be, what rebuilds it, and what there is to say of the step."""

    result: Result
    architecture: dict[str, Any]
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShippedFile:
    """A file for a runtime.

    Attributes:
        write: Fills the folder with it and returns what there is to say of the step.
        asked: What it is to promise, where it ships.
        formats: In which it ships, the first of them this one; none of a file that does not ship.
        network: Builds it in torch, where it is a network there.
        examples: How many test images lie beside it, with its answers.
        litert: The interpreter in which litert-torch is installed, where that is asked for.
        keeps_float: Whether the network that it was made from lies beside it, for runtimes that read no such file.
    """

    write: Callable[[Path], dict[str, Any]]
    asked: Demand | None = None
    formats: tuple[str, ...] = ()
    network: Callable[[], nn.Module] | None = None
    examples: int = 0
    litert: str | None = None
    keeps_float: bool = False


def lineage(of: Node) -> tuple[dict[str, str], ...]:
    """What a step that computes from a node's weights has read."""
    return ({"teacher": of.source, "read": "weights", "hash": of.hashes["weights"]},)


def changed(work: Work, model: nn.Module, report: dict[str, Any], **saved: Any) -> ChangedNetwork:
    """The network of the node before, whose layers or weights a step has changed; `saved` as of `Result`."""
    assert work.previous.architecture is not None
    before = work.previous.architecture
    plain = {key: value for key, value in unsupplied(before).items() if key != "surgery"}
    surgery = describe(model, build(plain, **{key: before[key] for key in SUPPLIED}))
    result = Result(
        "computed",
        model,
        lineage(work.previous),
        [],
        0.0,
        work.previous.trained_on,
        input=work.previous.input,
        **saved,
    )
    return ChangedNetwork(result, plain | ({"surgery": surgery} if surgery else {}), report)
