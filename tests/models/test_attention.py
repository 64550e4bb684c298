"""torchvision's attention in linear layers: the same answers, seen by all that looks for layers, and rebuilt."""

import copy

import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from pipeline.compression.factorise import factorise
from pipeline.compression.prune import magnitude
from pipeline.models.attention import SelfAttention, open_attention
from pipeline.models.fake_quantise import fake_quantise
from pipeline.models.surgery import describe, rebuild

DEPTH, WIDTH = 2, 24


def transformer(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    net = VisionTransformer(16, 8, DEPTH, 4, WIDTH, 2 * WIDTH, attention_dropout=dropout, num_classes=5)
    for tensor in net.parameters():
        nn.init.normal_(tensor, std=0.2)
    return net.eval()


def images() -> torch.Tensor:
    return torch.randn((3, 3, 16, 16), generator=torch.Generator().manual_seed(1))


def test_the_answers_are_the_same_and_the_weights_its_own() -> None:
    net = transformer()
    opened = open_attention(copy.deepcopy(net))
    assert sum(isinstance(each, SelfAttention) for each in opened.modules()) == DEPTH
    with torch.no_grad():
        assert torch.allclose(opened(images()), net(images()), atol=1e-4)
    assert sum(each.numel() for each in opened.parameters()) == sum(each.numel() for each in net.parameters())
    assert open_attention(opened) is opened


def test_it_learns_as_before_and_draws_nothing() -> None:
    net, state = transformer(dropout=0.1), torch.get_rng_state()
    opened = open_attention(copy.deepcopy(net))
    assert torch.equal(torch.get_rng_state(), state)
    for each in (net, opened):
        each(images()).square().sum().backward()
    before, after = ({name: each.grad for name, each in model.named_parameters()} for model in (net, opened))
    first = "encoder.layers.encoder_layer_0.self_attention"
    old, new = before[f"{first}.in_proj_weight"], after[f"{first}.qkv.weight"]
    assert old is not None and new is not None and torch.allclose(old, new, rtol=1e-3, atol=1e-3)
    opened.train()
    assert not torch.equal(opened(images()), opened(images())), "what it drops in training it still drops"


def test_other_attention_stays_as_it_is() -> None:
    net = nn.Sequential(nn.MultiheadAttention(8, 2), nn.TransformerEncoderLayer(8, 2, batch_first=True))
    assert not any(isinstance(each, SelfAttention) for each in open_attention(net).modules())


def test_pruning_counts_and_grids_hold_all_of_its_matrices() -> None:
    net = open_attention(transformer())
    matrices = sum(each.numel() for name, each in net.named_parameters() if each.ndim >= 2 and "pos_emb" not in name)
    masks = magnitude(net, sparsity=0.5)
    assert sum(each.numel() for each in masks.kept.values()) == matrices - WIDTH, "but the class token"
    masks.enforce(net)
    zeros = sum(int((each == 0).sum()) for each in net.parameters())
    assert abs(zeros / (matrices - WIDTH) - 0.5) < 1e-3
    on_grids = fake_quantise(transformer(), 4, None)
    assert sum("self_attention" in name and name.endswith("original") for name in on_grids.state_dict()) == 2 * DEPTH


def test_what_is_thinner_comes_back() -> None:
    net = open_attention(transformer())
    small, layers = factorise(net, channels=3, size=16, rank=4)
    assert sum("self_attention.qkv" in each.name for each in layers) == DEPTH
    form = describe(small, transformer(2))
    again = rebuild(transformer(2), form)
    again.load_state_dict(small.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images()), small(images()))
    assert describe(again, transformer(2)) == form
