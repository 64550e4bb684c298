"""Training on grids: values, gradients, ranges, and what is frozen."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.models.fake_quantise import InputGrid, WeightGrid, calibrate, fake_quantise, freeze
from pipeline.models.grid import BLOCK, CLIPS, REFINEMENTS, fit_scales, round_to, steps
from tests.compression.ships import images, net, normalised


def error(weights_OI: np.ndarray, scales_O: np.ndarray, bits: int) -> np.ndarray:
    return np.square(weights_OI - scales_O[:, None] * round_to(weights_OI, scales_O, bits)).sum(1)


@pytest.mark.parametrize("bits", range(2, 9))
def test_fitted_scales_beat_the_largest_weight_and_their_neighbours(bits):
    weights_OI = np.random.default_rng(bits).normal(size=(6, 200)).astype(np.float32)
    scales_O = fit_scales(weights_OI, bits)
    best_O = error(weights_OI, scales_O, bits)
    assert (best_O <= error(weights_OI, np.abs(weights_OI).max(1) / steps(bits), bits) + 1e-6).all()
    for factor in (0.7, 0.9, 1.1, 1.4):
        assert (best_O < error(weights_OI, factor * scales_O, bits)).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_scales_are_those_of_all_clips_refined(bits: int) -> None:
    """Of rows with few large weights, in more than one block."""
    weights_OI = np.random.default_rng(0).standard_t(3, (80, 1152)).astype(np.float32)
    assert weights_OI.size > 2 * BLOCK
    assert (fit_scales(weights_OI, bits) == slow(weights_OI.astype(np.float64), bits)).all()


def slow(weights_OI: np.ndarray, bits: int) -> np.ndarray:
    found = []
    for clip in CLIPS:
        scales_O = clip * np.abs(weights_OI).max(1) / steps(bits)
        for _ in range(REFINEMENTS):
            codes_OI = round_to(weights_OI, scales_O, bits).astype(np.float64)
            norm_O, dot_O = np.square(codes_OI).sum(1), (weights_OI * codes_OI).sum(1)
            scales_O = np.where(dot_O > 0, dot_O / np.where(norm_O, norm_O, 1), scales_O)
        found.append((error(weights_OI, scales_O, bits), scales_O))
    errors_NO, scales_NO = map(np.stack, zip(*found, strict=True))
    return np.take_along_axis(scales_NO, errors_NO.argmin(0)[None], 0)[0].astype(np.float32)


def test_a_channel_of_zeros_stays_zero():
    weights_OI = np.zeros((2, 5), np.float32)
    weights_OI[1] = 0.3
    scales_O = fit_scales(weights_OI, 4)
    assert (scales_O > 0).all()
    np.testing.assert_allclose(scales_O[:, None] * round_to(weights_OI, scales_O, 4), weights_OI, rtol=1e-6)


@pytest.mark.parametrize("bits", [1, 9])
def test_other_widths_are_refused(bits):
    with pytest.raises(ValueError, match="2 to 8 bits"):
        fit_scales(np.ones((1, 2), np.float32), bits)


def test_gradients_pass_inside_the_range_and_stop_outside():
    weight = torch.tensor([[0.1, -0.4, 0.9, 5.0]], requires_grad=True)
    grid = WeightGrid(weight, 3).eval()
    grid.scales.fill_(0.4)
    values: Tensor = grid(weight)
    torch.testing.assert_close(values, torch.tensor([[0.0, -0.4, 0.8, 1.2]]))
    values.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1, 1, 1, 0]]


def test_scales_follow_the_weights_in_training_and_only_there():
    """One least-squares step a pass: <w, q> / <q, q>, where q are the whole numbers of the scales before it."""
    start_OI, noise_OI = np.random.default_rng(0).normal(size=(2, 4, 30)).astype(np.float32)
    grid = WeightGrid(torch.from_numpy(start_OI), 4)
    before_O = grid.scales.tolist()
    moved_OI = torch.from_numpy(start_OI * np.array([[0.8], [1], [1.1], [1.3]], np.float32) + 0.1 * noise_OI)
    grid.eval()(moved_OI)
    assert grid.scales.tolist() == before_O
    grid.train()(moved_OI)
    expected_O = []
    for weights, scale in zip(moved_OI.tolist(), before_O, strict=True):
        codes = [max(-7, min(7, round(weight / scale))) for weight in weights]
        dot = sum(weight * code for weight, code in zip(weights, codes, strict=True))
        expected_O.append(dot / sum(code**2 for code in codes))
    assert grid.scales.tolist() == pytest.approx(expected_O, rel=1e-5)
    assert grid.scales.tolist() != pytest.approx(before_O, rel=1e-2)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_zeros_as_floats_give_the_bits_of_integers(bits):
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    grid = WeightGrid(weight, bits).eval()
    assert grid.zeros.is_floating_point(), "else a GPU is asked about them at each pass"
    found = grid(weight)
    zeros = grid.zeros.int()
    expected = torch.fake_quantize_per_channel_affine(weight, grid.scales, zeros, 0, -grid.top, grid.top)
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(each.square().sum(), weight)[0] for each in (found, expected)))


def test_ranges_follow_as_a_moving_average_and_hold_zero():
    grid = InputGrid(8)
    grid(torch.tensor([1.0, 3.0]))
    assert (grid.low.item(), grid.high.item()) == (0, 3)
    grid(torch.tensor([-1.0, 5.0]))
    assert grid.low.item() == pytest.approx(-0.05)
    assert grid.high.item() == pytest.approx(3.1)
    before = grid.high.clone()
    grid.eval()(torch.tensor([100.0]))
    assert torch.equal(grid.high, before)
    assert grid(torch.zeros(1)).item() == 0


def quantised(weight_bits: int, activation_bits: int | None, **ends: int) -> nn.Module:
    model = fake_quantise(net(), weight_bits, activation_bits, **ends)
    calibrate(model, normalised(images()).split(20))
    return model.eval()


def test_calibration_sees_every_batch():
    """The first batch is black and the second one is not: ranges of the first alone would cut all that is bright."""
    model = fake_quantise(net(), 8, 8)
    x_BCHW = normalised(images(20))
    calibrate(model, [torch.zeros_like(x_BCHW), x_BCHW])
    first: InputGrid = next(module for module in model.modules() if isinstance(module, InputGrid))
    assert (first.low.item(), first.high.item()) == pytest.approx((x_BCHW.min().item(), x_BCHW.max().item()))


def test_eight_bits_are_near_and_two_are_not():
    x_BCHW = normalised(images())
    truth = net()(x_BCHW)
    errors = [(quantised(bits, bits)(x_BCHW) - truth).abs().mean().item() for bits in (8, 4, 2)]
    assert errors[0] < 0.02 * truth.std().item()
    assert errors[0] < errors[1] < errors[2]


def test_weights_take_as_many_values_as_they_have_bits_for():
    model = quantised(2, None, end_bits=4)
    convolutions: list[nn.Conv2d] = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    for layer, most in ((convolutions[0], 15), (convolutions[1], 3)):
        assert all(len(channel.unique()) <= most for channel in layer.weight)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    assert max(len(row.unique()) for row in last.weight) > 3, "the last layer is at an end, too"
    assert not any(isinstance(module, InputGrid) for module in model.modules())


def test_training_lowers_the_loss_and_goes_on_from_a_saved_state():
    x_BCHW, y_B = normalised(images(64)), torch.arange(64) % 5

    def train(model: nn.Module, steps: int) -> float:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        loss = torch.zeros(())
        model.train()
        for _ in range(steps):
            loss = nn.functional.cross_entropy(model(x_BCHW), y_B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    model = quantised(3, 4)
    first = train(model, 1)
    train(model, 15)
    saved = copy.deepcopy(model.state_dict())
    last = train(model, 5)
    assert last < first
    other = fake_quantise(net(), 3, 4)
    other.load_state_dict(saved)
    assert train(other, 5) == last


def test_freezing_changes_no_output_and_leaves_plain_names():
    model = quantised(3, 5)
    x_BCHW = normalised(images())
    before = model(x_BCHW)
    grids = freeze(model)
    assert torch.equal(model(x_BCHW), before)
    names = {name for name, _ in net().named_parameters()}
    assert {name for name, _ in model.named_parameters()} == names
    assert set(grids) == {name for name in names if model.get_parameter(name).ndim > 1}
    assert {frozen.bits for frozen in grids.values()} == {3, 8}
    for name, frozen in grids.items():
        weight = model.get_parameter(name).detach().flatten(1).numpy() * -1.7
        scales_O = frozen.scales(weight)
        np.testing.assert_allclose(scales_O[:, None] * round_to(weight, scales_O, frozen.bits), weight, rtol=1e-5)
