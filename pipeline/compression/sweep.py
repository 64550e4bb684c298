"""Which layers of a file are left in float when all others become whole numbers.

A few layers may carry most of what is lost, and which ones cannot be told by their kind. So each is quantised alone,
with the activation that follows it, which its grid folds into; then whole files are made without the worst 0, 2, 4, 8,
since layers do not add up: the first depthwise one alone in float can be worse than none. They are judged by their
noise on training views: the mean squared error of the logits over their variance.

Legend: N images, C channels or classes, H = W edge in pixels.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from pipeline.base.errors import UserError
from pipeline.compression.onnx_file import read_onnx
from pipeline.compression.runtime import Runtime
from pipeline.config.section import unknown
from pipeline.console.progress import log

TRIED = (0, 2, 4, 8)  # numbers of layers that stay float: half of all at most
JUDGED = 64  # images
NEAR = 1.25  # of the least noise: what costs fewer layers is taken up to there
# What works on each number alone: it folds into the layer before, or its grid lies where the layer's would.
EACH = {"Clip", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Softplus", "Tanh"}
EACH |= {"Add", "Div", "Mul", "Swish"}  # where nothing but the layer itself, or a constant, comes in

# Quantise a file as a whole, but for those nodes, or those nodes alone, by their names.
Quantise = Callable[[Path, Sequence[str], Sequence[str]], object]


@dataclass(frozen=True)
class Tried:
    """A whole file: the layers that stayed float, its noise, the share of answers that stay, its size."""

    kept: tuple[str, ...]
    noise: float
    agreement: float
    bytes: int


@dataclass(frozen=True)
class Sweep:
    """What was tried. noise: of each layer quantised alone, the worst first. kept: the layers that stay float."""

    noise: dict[str, float]
    tried: tuple[Tried, ...]
    kept: tuple[str, ...]


def layers(model: onnx.ModelProto) -> dict[str, list[str]]:
    """The nodes of each layer with a weight, by the layer's name: its own, and those of the activation after it."""
    graph = model.graph
    constants = {each.name for each in graph.initializer}
    found: dict[str, list[str]] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
            continue
        made, nodes = {*node.output}, [node.name]
        for later in graph.node:  # which are in the order in which they run
            given = [name for name in later.input if name and name not in constants]
            if later.op_type in EACH and given and all(name in made for name in given):
                made |= {*later.output}
                nodes.append(later.name)
        found.setdefault(named(node.input[1]), []).extend(nodes)
    return found


def named(weight: str) -> str:
    """A layer by its weight: as the network itself calls it."""
    return weight.removeprefix("net.").removesuffix(".weight")


def nodes_of(model: onnx.ModelProto, names: Sequence[str], where: str) -> list[str]:
    """The nodes of some layers; `where` is the key that names them.

    Raises:
        UserError: There is no such layer.
    """
    there = layers(model)
    for name in names:
        if name not in there:
            raise UserError(f"params.yaml: {where}: {unknown('layer', name, there)}")
    return [node for name in names for node in there[name]]


def swept(path: Path, pixels_NCHW: np.ndarray, quantise: Quantise) -> Sweep:
    """Try them on the float file at `path`; quantise: writes a quantised file.

    pixels_NCHW: training views, float32 pixels 0 .. 1.
    """
    model, _ = read_onnx(path)
    there = layers(model)
    pixels_NCHW = pixels_NCHW[:JUDGED]
    wanted_NC = answers(path, pixels_NCHW)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "tried.onnx"

        def tried(kept: Sequence[str], only: Sequence[str] = ()) -> Tried:
            without = [node for name in kept for node in there[name]]
            quantise(made, [node for name in only for node in there[name]], without)
            z_NC = answers(made, pixels_NCHW)
            noise = float(np.square(z_NC - wanted_NC).mean() / max(float(wanted_NC.var()), 1e-30))
            agreement = float((z_NC.argmax(1) == wanted_NC.argmax(1)).mean())
            return Tried(tuple(kept), noise, agreement, made.stat().st_size)

        alone = {name: tried((), (name,)).noise for name in there}
        worst = sorted(alone, key=lambda name: -alone[name])
        files = tuple(tried(worst[:count]) for count in TRIED if count <= len(worst) // 2)
    least = min(each.noise for each in files)
    chosen = next(each for each in files if each.noise <= NEAR * least)
    for each in files:
        log(
            f"int8 with {len(each.kept)} of {len(there)} layers in float: noise {each.noise:.4f}, "
            f"{100 * each.agreement:.0f} % of {len(pixels_NCHW)} training views as before, {each.bytes:,} bytes"
        )
    return Sweep({name: alone[name] for name in worst}, files, chosen.kept)


def answers(path: Path, pixels_NCHW: np.ndarray) -> np.ndarray:
    """Logits float32 (N, C) of a file."""
    runtime = Runtime(path)
    step = runtime.images_a_pass
    starts = range(0, len(pixels_NCHW), step)
    return np.concatenate([runtime.run(pixels_NCHW[start : start + step]) for start in starts])
