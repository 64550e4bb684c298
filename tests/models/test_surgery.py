"""A changed network as data. That pruned, factorised and replaced ones come back is shown beside each of these."""

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.models.surgery import describe, rebuild
from tests.compression.nets import ARCHITECTURES, images, plain, trained


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_a_network_that_is_not_changed_needs_no_description(architecture: dict[str, Any]):
    net = trained(architecture)
    assert describe(net, plain(architecture)) == {}
    again = rebuild(copy.deepcopy(net), {})
    assert torch.equal(again(images()), net(images()))


def test_only_what_is_changed_is_named():
    net = plain(ARCHITECTURES[0])
    net.set_submodule("linear", nn.Sequential(nn.Linear(12, 2, bias=False), nn.Linear(2, 5)))
    net.set_submodule("stage1.0", nn.Conv2d(1, 6, 5, stride=2, padding=4, dilation=2, bias=False))
    description = describe(net, plain(ARCHITECTURES[0]))
    assert [*description] == ["stage1.0", "linear"]
    assert description["stage1.0"]["kernel_size"] == [5, 5]
    assert json.loads(json.dumps(description)) == description
    again = rebuild(plain(ARCHITECTURES[0]), description)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(images()), net.eval()(images()))
    assert describe(again, net) == {}


def test_a_tapped_head_stays_one():
    architecture = {"family": "torchvision", "name": "resnet18", "pretrained": False}
    net = plain(architecture)
    head = net.get_submodule("fc")
    rebuild(net, {"fc": {"type": "Linear", "in_features": 7, "out_features": 5, "bias": True}})
    assert net.get_submodule("fc") is head
    assert head.get_parameter("weight").shape == (5, 7)
    assert net.get_submodule("embedding") is head.get_submodule("embedding")


def test_what_is_not_a_layer_number_survives():
    """MobileNet's batch norm has an epsilon of its own."""
    net = nn.Sequential(nn.BatchNorm2d(8, eps=0.5))
    rebuild(net, {"0": {"type": "BatchNorm2d", "num_features": 3}})
    (norm,) = net.children()
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.eps == 0.5
    assert norm(torch.randn(2, 3, 4, 4)).shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    "description",
    [
        {"nowhere": {"type": "Linear", "in_features": 2, "out_features": 2}},
        {"linear": {"type": "Conv7d"}},
        {"linear": {"type": "Linear", "in_features": "many", "out_features": 2}},
        {"linear": {"type": "Linear", "in_features": 2}},
        {"linear": {"type": "Block", "added": 3}},
        {"linear": {}},
        {"linear": 3},
    ],
    ids=str,
)
def test_a_damaged_description_is_one_sentence(description: dict[str, Any]):
    with pytest.raises(UserError, match=r"node\.json, surgery: .* cannot be rebuilt"):
        rebuild(plain(ARCHITECTURES[0]), description)


def test_a_module_that_has_no_description_is_a_defect():
    net = plain(ARCHITECTURES[0])
    net.set_submodule("linear", nn.Bilinear(2, 2, 2))
    with pytest.raises(TypeError, match="Bilinear"):
        describe(net, plain(ARCHITECTURES[0]))
