"""A cheap convolution that imitates an old one."""

import json

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.compression.replace import replace
from pipeline.evaluation import cost
from pipeline.models.surgery import describe, rebuild
from tests.compression.nets import ARCHITECTURES, images, plain, trained

RESIDUAL = ARCHITECTURES[2]
LAYER = "stage2.0.body.0"
BATCHES = [images(16, seed) for seed in range(60)]


@pytest.mark.parametrize("groups", [None, 2, 6])
@pytest.mark.parametrize("layer", [LAYER, "stage3.1.body.3"])
def test_fitting_brings_the_new_layer_nearer_to_the_old(layer: str, groups: int | None):
    net = trained(RESIDUAL)
    small, report = replace(net, BATCHES, layer=layer, groups=groups)
    assert 0 < report.error < 0.9 * report.start < 0.9
    assert cost.parameters(net) - cost.parameters(small) == report.before - report.after > 0
    changed = {name.rpartition(".")[0] for name in small.state_dict().keys() - net.state_dict().keys()}
    assert changed == {f"{layer}.0", f"{layer}.1"}


def input_and_output(net: nn.Module, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the layer reads, and what it answers."""
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(layer: nn.Module, given: tuple[torch.Tensor], answer: torch.Tensor) -> None:
        kept.append((given[0], answer))

    handle = net.get_submodule(LAYER).register_forward_hook(keep)
    with torch.no_grad():
        net(x_BCHW)
    handle.remove()
    return kept[0]


def test_it_is_fitted_by_adam_along_a_cosine_and_judged_on_the_first_batch():
    net = trained(RESIDUAL)
    start, _ = replace(net, BATCHES[:2], layer=LAYER, lr=1e-12)
    slow = start.get_submodule(LAYER)
    optimizer = torch.optim.Adam(slow.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    for x_BCHW in BATCHES[1:9]:
        given_BCHW, answer_BCHW = input_and_output(net, x_BCHW)
        loss = (slow(given_BCHW) - answer_BCHW).square().sum() / answer_BCHW.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    small, report = replace(net, BATCHES[:9], layer=LAYER, lr=0.01)
    for name, tensor in slow.state_dict().items():
        torch.testing.assert_close(small.get_submodule(LAYER).state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    given_BCHW, answer_BCHW = input_and_output(net, BATCHES[0])
    error = (slow(given_BCHW) - answer_BCHW).norm() / answer_BCHW.norm()
    assert report.error == pytest.approx(error.item(), rel=1e-2)


def test_more_groups_imitate_less_well():
    net = trained(RESIDUAL)
    errors = [replace(net, BATCHES, layer=LAYER, groups=groups)[1].error for groups in (2, 6)]
    assert errors[0] < errors[1]


def test_a_layer_that_is_separable_in_truth_is_found_at_once():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2, padding=1))
    depthwise, mixing = torch.randn(4, 9), torch.randn(8, 4)
    with torch.no_grad():
        net.get_parameter("1.weight").copy_((mixing[:, :, None] * depthwise).view(8, 4, 3, 3))
    small, report = replace(net, BATCHES[:2], layer="1", lr=1e-9)
    assert report.start < 1e-5
    torch.testing.assert_close(small(images()), net(images()), rtol=1e-3, atol=1e-4)


def test_a_stream_of_batches_will_do():
    _, report = replace(trained(RESIDUAL), iter(BATCHES), layer=LAYER)
    assert report.error < report.start


def test_the_model_is_left_as_it_is():
    net = trained(RESIDUAL)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    small, _ = replace(net, BATCHES[:3], layer=LAYER)
    assert not small.training
    others = {name: tensor for name, tensor in small.state_dict().items() if not name.startswith(LAYER)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in others.items()), "only the layer changes"
    assert replace(net.train(), BATCHES[:3], layer=LAYER)[0].get_submodule(LAYER).training
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_replaced_layer_is_rebuilt_from_json_alone():
    small, _ = replace(trained(RESIDUAL), BATCHES[:3], layer=LAYER, groups=3)
    description = json.loads(json.dumps(describe(small, plain(RESIDUAL))))
    assert [*description] == [LAYER]
    again = rebuild(plain(RESIDUAL), description)
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()(images()), small(images()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "stage2.0.body.00"}, r"unknown convolution .*, did you mean"),
        ({"layer": "linear"}, "unknown convolution 'linear'"),
        ({"layer": LAYER, "groups": 4}, "groups 4 does not divide the 6 channels"),
        ({"layer": "stage1.0.body.0", "groups": 1}, "has 324 weights, the cheap one would have 360"),
    ],
)
def test_what_cannot_be_is_one_sentence(settings, message: str):
    with pytest.raises(UserError, match=message):
        replace(trained(RESIDUAL), BATCHES[:2], **settings)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_batches_are_named(count: int):
    with pytest.raises(UserError, match="give two or more"):
        replace(trained(RESIDUAL), BATCHES[:count], layer=LAYER)
