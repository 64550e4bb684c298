"""Magnitude pruning by masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.base.errors import UserError
from pipeline.compression.prune import Masks, magnitude
from tests.compression.nets import ARCHITECTURES, images, trained

NET = ARCHITECTURES[0]


def zeros(net: nn.Module) -> dict[str, int]:
    return {
        name: int((module.weight == 0).sum())
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: module.weight.detach().clone()
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.99), st.sampled_from(ARCHITECTURES))
def test_global_sparsity_is_exact_and_takes_the_smallest(sparsity: float, architecture):
    net = trained(architecture)
    before = torch.cat([weight.flatten() for weight in weights(net).values()])
    masks = magnitude(net, sparsity=sparsity)
    assert torch.equal(before, torch.cat([weight.flatten() for weight in weights(net).values()])), "left as it was"
    masks.enforce(net)
    after = torch.cat([weight.flatten() for weight in weights(net).values()])
    assert int((after == 0).sum()) == round(sparsity * len(before))
    assert masks.sparsity == pytest.approx(sparsity, abs=1 / len(before))
    kept, gone = before[after != 0].abs(), before[after == 0].abs()
    assert torch.equal(after[after != 0], before[after != 0])
    assert not len(gone) or gone.max() <= kept.min()


def test_by_layer_each_layer_has_the_sparsity():
    net = trained(NET)
    magnitude(net, sparsity=0.7, scope="layer").enforce(net)
    assert zeros(net) == {name: round(0.7 * weight.numel()) for name, weight in weights(net).items()}
    other = trained(NET)
    magnitude(other, sparsity=0.7).enforce(other)
    assert zeros(other) != zeros(net)
    assert abs(sum(zeros(other).values()) - sum(zeros(net).values())) <= len(zeros(net))


def test_equal_weights_are_pruned_to_the_count():
    net = nn.Sequential(nn.Linear(10, 10))
    nn.init.ones_(net.get_parameter("0.weight"))
    magnitude(net, sparsity=0.33).enforce(net)
    assert zeros(net) == {"0": 33}


def test_masks_hold_through_tuning_and_are_found_again_in_the_weights():
    net = trained(NET).train()
    masks = magnitude(net, sparsity=0.8)
    masks.enforce(net)
    pruned, start = zeros(net), weights(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        net(images(8)).logsumexp(1).sum().backward()
        optimizer.step()
        assert sum(zeros(net).values()) < sum(pruned.values()), "else nothing needed enforcing"
        masks.enforce(net)
    assert zeros(net) == pruned
    assert any(not torch.equal(start[name], weight) for name, weight in weights(net).items())
    again = Masks.of_zeros(net)
    assert again.kept.keys() == masks.kept.keys()
    assert all(torch.equal(again.kept[name], mask) for name, mask in masks.kept.items())


def test_what_keeps_the_masks_sets_to_zero_what_they_prune():
    net = trained(NET)
    masks = magnitude(net, sparsity=0.4)
    keep = masks.keeper(net)
    assert keep is not None
    expected = {name: weight * masks.kept[f"{name}.weight"] for name, weight in weights(net).items()}
    keep()
    assert zeros(net) == {name: int((weight == 0).sum()) for name, weight in expected.items()}
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(net).items())
    assert magnitude(net, sparsity=0.0).keeper(net) is None, "nothing is pruned"


def test_pruning_further_keeps_what_was_pruned():
    net = trained(NET)
    first = magnitude(net, sparsity=0.5)
    first.enforce(net)
    second = magnitude(net, sparsity=0.8)
    assert all(not (mask & ~first.kept[name]).any() for name, mask in second.kept.items())


def test_a_network_that_is_one_layer_has_a_mask():
    layer = nn.Linear(4, 5)
    magnitude(layer, sparsity=0.5).enforce(layer)
    assert int((layer.weight == 0).sum()) == 10


@pytest.mark.parametrize("sparsity", [1.0, -0.1])
def test_a_sparsity_that_leaves_nothing_is_named(sparsity: float):
    with pytest.raises(UserError, match="from 0 to below 1"):
        magnitude(trained(NET), sparsity=sparsity)
    with pytest.raises(UserError, match=r"nothing of 'stage1\.0\.weight'"):
        magnitude(trained(NET), sparsity=1.0, scope="layer")


def test_a_network_without_weights_is_named():
    with pytest.raises(UserError, match="neither convolutions nor linear layers"):
        magnitude(nn.ReLU(), sparsity=0.5)
