"""Quantisation-aware training: a network that computes with the numbers it will have once quantised.

Weights of convolutions and linear layers lie on a symmetric grid an output channel (`pipeline.models.grid`),
inputs of those layers on an asymmetric grid with a range that follows the data. Gradients pass through the
rounding as if it were not there, inside the range (the straight-through estimator, Bengio et al. 2013; as in
Jacob et al. 2018). Deviation from the latter: batch norm is not folded while training, as grids an output channel
make the later folding exact.

Legend: O output channels, I all else of a weight.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.models.attention import open_attention
from pipeline.models.grid import Frozen, fit_scales, round_to, steps

MOMENTUM = 0.05  # of the ranges of inputs: about the last twenty batches count
SMALLEST = 1e-8  # of a range: one of nothing has no scale
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


class WeightGrid(nn.Module):
    """The parametrisation of a weight (O, ...): its values on a grid of `bits`.

    Scales start at the least squared error and follow the weights in training: one least-squares step a pass.
    """

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.top = steps(bits)
        scales_O = torch.from_numpy(fit_scales(_flat(weight), bits))
        self.scales: Tensor
        self.zeros: Tensor
        self.register_buffer("scales", scales_O.to(weight.device))
        # Float, since of whole numbers torch asks whether they lie on the grid, and waits for a GPU's answer.
        self.register_buffer("zeros", torch.zeros_like(self.scales), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """(O, ...) to the nearest values of the grid."""
        if self.training:
            self._follow(weight.detach().flatten(1))
        return torch.fake_quantize_per_channel_affine(weight, self.scales, self.zeros, 0, -self.top, self.top)

    @torch.no_grad()
    def _follow(self, weight_OI: Tensor) -> None:
        codes_OI = (weight_OI / self.scales[:, None]).round().clamp(-self.top, self.top)
        dot_O, norm_O = (weight_OI * codes_OI).sum(1), codes_OI.square().sum(1)
        self.scales.copy_(torch.where(dot_O > 0, dot_O / norm_O.clamp(min=1), self.scales))


class InputGrid(nn.Module):
    """The input of a layer on a grid of `bits` over a range that holds zero.

    In training the range follows the smallest and largest input, as a moving average; else it stands still.
    Before it has seen a batch all inputs are zero to it: train or calibrate first.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.top = 2**bits - 1
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if self.training:
            self._follow(x.detach())
        return torch.fake_quantize_per_tensor_affine(x, *self.affine(), 0, self.top)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale, float32 (), and the whole number that stands for zero, int32 ()."""
        scale = (self.high - self.low).clamp(min=SMALLEST) / self.top
        return scale, (-self.low / scale).round().clamp(0, self.top).int()

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        low, high = x.min().clamp(max=0).float(), x.max().clamp(min=0).float()
        unseen = self.high == self.low
        self.low.copy_(torch.where(unseen, low, self.low.lerp(low, MOMENTUM)))
        self.high.copy_(torch.where(unseen, high, self.high.lerp(high, MOMENTUM)))


class FrozenInput(nn.Module):
    """An `InputGrid` whose range is final.

    In an ONNX file it is QuantizeLinear and DequantizeLinear where `integers`, else float operators. The latter
    are for grids of fewer than 8 bits: there are no integer kernels to win, and onnxruntime, seeing quantised
    inputs, rounds biases to steps of input scale times weight scale, which moves answers when steps are coarse.
    """

    def __init__(self, grid: InputGrid, integers: bool) -> None:
        super().__init__()
        self.top, self.integers = grid.top, integers
        scale, zero = grid.affine()
        self.scale: Tensor
        self.zero: Tensor
        self.register_buffer("scale", scale)
        self.register_buffer("zero", zero.to(torch.uint8))
        self.ends = -int(zero), self.top - int(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if not torch.onnx.is_in_onnx_export():
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero.int(), 0, self.top)
        if not self.integers:
            return (x / self.scale).round().clamp(*self.ends) * self.scale
        to, like = [self.scale, self.zero], {"shape": x.shape, "version": 21}
        codes = torch.onnx.ops.symbolic("QuantizeLinear", [x, *to], dtype=torch.uint8, **like)
        return torch.onnx.ops.symbolic("DequantizeLinear", [codes, *to], dtype=torch.float32, **like)


def fake_quantise(model: nn.Module, weight_bits: int, activation_bits: int | None, *, end_bits: int = 8) -> nn.Module:
    """Let every convolution and linear layer of `model` compute on grids, in place; return it.

    Load float weights before, saved quantised ones after: the state has other names (`…parametrizations.weight.
    original`, `…input_grid.low`). Masks and other hooks of a layer stay.

    Args:
        model: Float, with its trained weights.
        weight_bits, activation_bits: 2 .. 8; without the latter inputs stay float.
        end_bits: The first and the last layer have at least as many bits (Zhou et al. 2016); 2 treats all alike.
    """
    layers = [module for module in open_attention(model).modules() if isinstance(module, LAYERS)]
    for layer in layers:
        at_end = layer in (layers[0], layers[-1])
        bits = max(weight_bits, end_bits) if at_end else weight_bits
        parametrize.register_parametrization(layer, "weight", WeightGrid(layer.weight, bits))
        if activation_bits is not None:
            layer.add_module("input_grid", InputGrid(max(activation_bits, end_bits) if at_end else activation_bits))
            layer.register_forward_pre_hook(_quantise_input)
    return model


def put_on_grids(model: nn.Module, bits: Mapping[str, Any]) -> nn.Module:
    """What `fake_quantise` does, by the `grids` of a node's architecture: weight_bits and activation_bits."""
    return fake_quantise(model, bits["weight_bits"], bits["activation_bits"])


def freeze(model: nn.Module) -> dict[str, Frozen]:
    """Make a fake-quantised model final, in place: plain weights that lie on their grids, input grids that stand.

    Returns the grid of each weight by its name, to store it as whole numbers.
    """
    found = {}
    integers = all(module.bits == 8 for module in model.modules() if isinstance(module, InputGrid))
    for name, layer in list(model.named_modules()):
        if parametrize.is_parametrized(layer, "weight"):
            grid: Any = layer.parametrizations.weight[0]  # pyright: ignore
            grid.eval()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
            weight: Any = layer.weight
            codes_OI = round_to(_flat(weight), grid.scales.cpu().numpy(), grid.bits)
            found[f"{name}.weight"] = Frozen(grid.bits, np.abs(codes_OI.astype(np.int64)).max(axis=1))
        if isinstance(input_grid := getattr(layer, "input_grid", None), InputGrid):
            layer.input_grid = FrozenInput(input_grid, integers)
    return found


def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Let the input grids of a fake-quantised model see normalised images (B, C, H, W), batch by batch."""
    grids = [module for module in model.modules() if isinstance(module, InputGrid)]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for grid in grids:
        grid.train()
    with torch.no_grad():
        for x_BCHW in batches:
            model(x_BCHW)
    for module, mode in modes.items():
        module.training = mode


def _quantise_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    grid: Any = layer.input_grid
    return (grid(inputs[0]), *inputs[1:])


def _flat(weight: Tensor) -> np.ndarray:
    return weight.detach().flatten(1).cpu().numpy()
