"""The network with what comes before it inside: a decoded picture of any size in, as `predict` makes it square.

`pipeline.data.framing` in the operations of ONNX: a crop at whole pixels, then one resize. Runtimes resize within one
grey level of Pillow, which rounds the rows before it makes the columns.

Legend: N images of one size, H, W height and width in pixels, C channels, S edge of what the network takes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from pipeline.compression.card import IMAGE, WITH_PIXELS, Card
from pipeline.compression.onnx_file import read_onnx, write_onnx

PREFIX = "cohobate.pixels."  # no name that a network has
AXES = (1, 2)  # H and W of an image as decoders give it
INTS = {"0": 0, "1": 1, "2": 2, "first": AXES[0], "end": AXES[1] + 1}


def write_with_pixels(path: Path) -> None:
    """Write, beside the file at `path`, one that takes `image`, uint8 (N, H, W, C) of any size, and answers alike.

    Raises:
        UserError: The file is missing or damaged.
    """
    model, card = read_onnx(path)
    graph = model.graph
    (pixels,) = graph.input
    image = helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["batch", "height", "width", card.channels])
    before = _Steps()
    shown = before.resized(before.cropped(IMAGE, card), card.size)
    before.of("Cast", [shown], to=TensorProto.FLOAT)
    before.of("Div", [before.last, before.constant(np.float32(255))])
    before.nodes.append(helper.make_node("Transpose", [before.last], [pixels.name], perm=[0, 3, 1, 2]))
    nodes = [*before.nodes, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    graph.initializer.extend(before.constants)
    graph.ClearField("input")
    graph.input.append(image)
    write_onnx(model, path.with_name(WITH_PIXELS), card)


class _Steps:
    """Nodes of a graph, and the constants that they take."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    @property
    def last(self) -> str:
        """What the last node gives."""
        return self.nodes[-1].output[0]

    def of(self, kind: str, inputs: list[str], **attributes: object) -> str:
        """A node; the name of what it gives."""
        name = f"{PREFIX}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))  # pyright: ignore[reportArgumentType]
        return name

    def constant(self, value: object) -> str:
        """The name of a number or an array."""
        name = f"{PREFIX}constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def cropped(self, image: str, card: Card) -> str:
        """The part of an image that becomes the square, as of `framing.box`, black where it lies outside."""
        framing, margin = card.framing or "crop", card.margin or 0.0
        ints = {name: self.constant(np.array([value], np.int64)) for name, value in INTS.items()}
        axes = self.constant(np.array(AXES, np.int64))
        edges = self.of("Slice", [self.of("Shape", [image]), ints["first"], ints["end"], ints["0"]])
        part = edges
        if framing != "squash":
            part = self.of("ReduceMin" if framing == "crop" else "ReduceMax", [edges, ints["0"]], keepdims=1)
            part = self.of("Concat", [part, part], axis=0)
        if margin:
            exact = self.of("Cast", [part], to=TensorProto.DOUBLE)
            exact = self.of("Mul", [exact, self.constant(np.float64(1 - margin))])
            part = self.of("Cast", [self.of("Round", [exact])], to=TensorProto.INT64)
            part = self.of("Max", [part, ints["1"]])
        elif framing == "squash":
            return image
        if framing == "pad":
            # What lies outside is odd by the half that comes before, as `box` rounds to the left and the top.
            beyond = self.of("Max", [self.of("Sub", [part, edges]), ints["0"]])
            before = self.of("Div", [self.of("Add", [beyond, ints["1"]]), ints["2"]])
            pads = self.of("Concat", [before, self.of("Sub", [beyond, before])], axis=0)
            image = self.of("Pad", [image, pads, self.constant(np.uint8(0)), axes])
        over = self.of("Max", [self.of("Sub", [edges, part]), ints["0"]])
        start = self.of("Div", [over, ints["2"]])
        return self.of("Slice", [image, start, self.of("Add", [start, part]), axes])

    def resized(self, image: str, size: int) -> str:
        """An image at `size` x `size`, uint8: bilinear and antialiased, pixels outside of it left out."""
        sizes = self.constant(np.array([size, size], np.int64))
        return self.of(
            "Resize",
            [image, "", "", sizes],
            axes=AXES,
            mode="linear",
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
        )
