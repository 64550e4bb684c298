"""Layers found in networks that were not made for us: stage ends, how they are read, the last layer."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from pipeline.base.errors import UserError
from pipeline.config.term import complete_term
from pipeline.models.probe import find_taps, with_taps
from pipeline.models.taps import shapes, tapped
from pipeline.objectives.compose import Objective, Signals
from tests.models.nets import taps


class PlainNet(nn.Sequential):
    """Layers in a row, as VGG has them, without blocks."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = models.vgg.make_layers([4, "M", 6, "M", 8, "M"])
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(8 * 49, num_classes)


VIT = partial(
    models.VisionTransformer, image_size=32, patch_size=4, num_layers=6, num_heads=2, hidden_dim=16, mlp_dim=32
)
SWIN = partial(
    models.SwinTransformer, patch_size=[4, 4], embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=[7, 7]
)
CONVNEXT = partial(models.ConvNeXt, [CNBlockConfig(8, 16, 2), CNBlockConfig(16, 24, 1), CNBlockConfig(24, None, 1)])
MOBILENET = {0: (8, 32), 1: (16, 16), 3: (24, 8), 5: (288, 4)}
NAMES: dict[str, tuple[Any, int, dict[str, tuple[int, int]]]] = {
    "vit": (VIT, 32, {f"encoder.layers.encoder_layer_{n}": (16, 8) for n in (0, 2, 3, 5)}),
    "swin": (SWIN, 56, {"features.1": (8, 14), "features.3": (16, 7)}),
    "convnext": (CONVNEXT, 64, {"features.1": (8, 16), "features.3": (16, 8), "features.5": (24, 4)}),
    "resnet": (models.resnet18, 64, {f"layer{n}": (32 * 2**n, 32 // 2**n) for n in (1, 2, 3, 4)}),
    "densenet": (
        partial(models.DenseNet, 8, (2, 2, 2, 2), 8),
        64,
        {f"features.denseblock{n}": (width, 32 // 2**n) for n, width in enumerate((24, 28, 30, 31), start=1)},
    ),
    "efficientnet": (
        models.efficientnet_b0,
        64,
        {"features.1": (16, 32), "features.2": (24, 16), "features.3": (40, 8), "features.5": (112, 4)}
        | {"features.7": (320, 2)},
    ),
    "mobilenet": (
        models.mobilenet_v2,
        64,
        {"features.1": (16, 32), "features.3": (24, 16), "features.6": (32, 8), "features.13": (96, 4)}
        | {"features.17": (320, 2)},
    ),
    "regnet": (
        models.regnet_y_400mf,
        64,
        {f"trunk_output.block{n}": (width, 32 // 2**n) for n, width in enumerate((48, 104, 208, 440), start=1)},
    ),
    "vgg": (
        PlainNet,
        32,
        {"features.1": (4, 32), "features.4": (6, 16), "features.7": (8, 8), "features.8": (8, 4)},
    ),
}
SMALL = {"embed_dim": 8, "num_heads": (2, 2), "depths": (1, 1)}
TIMM: dict[str, tuple[dict[str, Any], int, dict[str, tuple[int, int]]]] = {
    "levit_128s": ({}, 224, {f"stages.{n}": ((128, 256, 384)[n], (14, 7, 4)[n]) for n in range(3)}),
    "deit_tiny_distilled_patch16_224": ({"img_size": 64}, 64, {f"blocks.{n}": (192, 4) for n in (2, 5, 8, 11)}),
    "swin_tiny_patch4_window7_224": (SMALL | {"img_size": 56}, 56, {"layers.0": (8, 14), "layers.1": (16, 7)}),
    "convnext_atto": ({}, 64, {f"stages.{n}": (40 * 2**n, 16 // 2**n) for n in range(4)}),
    "mobilenetv3_small_050": ({}, 128, {f"blocks.{n}": w for n, w in MOBILENET.items()}),
    "dla34": ({}, 64, {f"level{n}": (16 * 2**n, 64 // 2**n) for n in (2, 3, 4, 5)}),
    "poolformer_s12": ({}, 64, {f"stages.{n}": ((64, 128, 320, 512)[n], 16 // 2**n) for n in range(4)}),
    # Its tokens before the last stage lie window by window.
    "hiera_tiny_224": ({"img_size": (128, 128), "embed_dim": 8}, 128, {"blocks.11": (64, 4)}),
}


def probed(net: nn.Module, size: int) -> nn.Module:
    return with_taps(net, *find_taps(net, 3, size, "net"))


def maps(net: nn.Module, size: int) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in shapes(net, 3, size).items() if name not in ("embedding", "logits")}


@pytest.mark.parametrize("kind", NAMES)
def test_stages_end_where_they_do_and_maps_are_maps(kind: str):
    torch.manual_seed(0)
    build, size, ends = NAMES[kind]
    net = probed(build(num_classes=5), size)
    assert maps(net, size) == {name: (width, edge, edge) for name, (width, edge) in ends.items()}
    check_places(net, size)


@pytest.mark.parametrize("name", TIMM)
def test_stages_of_timm_end_where_it_says(name: str):
    timm: Any = pytest.importorskip("timm")
    torch.manual_seed(0)
    further, size, ends = TIMM[name]
    net = probed(timm.create_model(name, num_classes=5, **further), size)
    assert maps(net, size) == {tap: (width, edge, edge) for tap, (width, edge) in ends.items()}
    if name != "levit_128s":  # whose attention mixes all, before it is trained
        check_places(net, size)


def check_places(net: nn.Module, size: int) -> None:
    """Where one corner of an image changes, each map has its largest change in that corner.

    Maps below 7 x 7 are left out: each position of a convolutional network's has seen the whole image.
    """
    x_BCHW = torch.randn(1, 3, size, size).repeat(3, 1, 1, 1)
    corner = size // 4
    x_BCHW[1, :, :corner, -corner:] *= -1
    x_BCHW[2, :, -corner:, :corner] *= -1
    with torch.no_grad(), tapped(net.eval(), taps(net)[:-1]) as outputs:
        net(x_BCHW)
    for name, maps_BCHW in outputs.items():
        if maps_BCHW.shape[2] < 7:
            continue
        for after_CHW, (rows, columns) in zip(maps_BCHW[1:], [(0, 1), (1, 0)], strict=True):
            change_HW = (after_CHW - maps_BCHW[0]).square().sum(0)
            row, column = divmod(int(change_HW.argmax()), change_HW.shape[1])
            edge = change_HW.shape[0]
            assert (2 * row + 1 >= edge, 2 * column + 1 >= edge) == (rows == 1, columns == 1), name


@pytest.mark.parametrize("training", [True, False])
def test_looking_leaves_the_network_and_the_generator_as_they_were(training: bool):
    net = models.mobilenet_v2(num_classes=3, dropout=0.5).train(training)
    net.get_submodule("classifier").eval()
    modes = {name: module.training for name, module in net.named_modules()}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    drawn = torch.get_rng_state()
    find_taps(net, 3, 32, "net")
    assert torch.equal(torch.get_rng_state(), drawn)
    assert {name: module.training for name, module in net.named_modules()} == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


class Small(nn.Module):
    """A network of one's own: two blocks, then what the test puts there."""

    head: Any
    other: Any
    rows: Any
    stem: Any
    embedding: Any

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.second = nn.Sequential(nn.Conv2d(4, 8, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        for name, part in parts.items():
            self.add_module(name, part)

    def pooled(self, x_BCHW: Tensor) -> Any:
        return self.pool(self.second(self.first(x_BCHW)))


class Convolved(Small):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.pooled(x_BCHW)).flatten(1)


class TwoHeads(Small):
    def forward(self, x_BCHW: Tensor) -> Any:
        f_BD = self.pooled(x_BCHW).flatten(1)
        both = self.head(f_BD), self.other(f_BD + 1)
        return both if self.training else (both[0] + both[1]) / 2


class Mean(TwoHeads):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        f_BD = self.pooled(x_BCHW).flatten(1)
        return (self.head(f_BD) + self.other(f_BD + 1)) / 2


class Auxiliary(Small):
    """The auxiliary head is called last, and is not the one that gives the logits."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        f_BD = self.pooled(x_BCHW).flatten(1)
        logits_BC = self.head(f_BD)
        self.other(f_BD)
        return logits_BC


def flat(net: nn.Module, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad(), tapped(net.eval(), ["embedding"]) as outputs:
        logits_BC = net(x_BCHW)
    return outputs["embedding"], logits_BC


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_may_be_the_last_layer(bias: bool):
    net = probed(Convolved(head=nn.Conv2d(8, 5, 1, bias=bias)), 16)
    assert taps(net) == ("first", "second", "embedding")
    assert sorted(name for name in net.state_dict() if "head" in name) == ["head.bias", "head.weight"][not bias :]
    f_BD, logits_BC = flat(net, torch.randn(2, 3, 16, 16))
    head = net.get_submodule("head")
    added_C = head.get_parameter("bias") if bias else None
    torch.testing.assert_close(nn.functional.linear(f_BD, head.get_parameter("weight").flatten(1), added_C), logits_BC)


def test_an_auxiliary_head_is_not_taken_for_the_last_layer():
    net = probed(Auxiliary(head=nn.Linear(8, 5), other=nn.Linear(8, 5)), 16)
    assert find_taps(Auxiliary(head=nn.Linear(8, 5), other=nn.Linear(8, 5)), 3, 16, "net")[1] == "head"
    assert hasattr(net.head, "embedding")


def test_of_two_heads_whose_mean_it_gives_the_first_is_taken():
    assert find_taps(Mean(head=nn.Linear(8, 5), other=nn.Linear(8, 5)), 3, 16, "net")[1] == "head"


def test_a_module_that_is_called_embedding_stays():
    own = nn.Identity()
    net = Convolved(head=nn.Conv2d(8, 5, 1), embedding=own)
    probed(net, 16)
    assert net.embedding is own
    assert flat(net, torch.randn(2, 3, 16, 16))[0].shape == (2, 8)


class Windows(Small):
    """Attention by windows: the first axis is images times windows in `rows`, which is as large as a map before it."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.first(x_BCHW)
        windows = x_BCHW.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(-1, 4, 8, 8)
        x_BCHW = self.second(x_BCHW)
        self.rows(windows)
        return self.head(self.pool(x_BCHW).flatten(1))


def test_windows_are_no_images():
    rows = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    net = probed(Windows(rows=rows, head=nn.Linear(8, 5)), 16)
    assert taps(net) == ("first", "second", "embedding")


class Pair(nn.Module):
    """A block that gives two tensors, of which one has the images along its first axis."""

    def __init__(self, *layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(layers[0], layers[1], 3, 2, 1), nn.Conv2d(layers[1], layers[1], 1))

    def forward(self, given: Any) -> tuple[Tensor, Tensor]:
        x_BCHW = self.layers(given[1] if isinstance(given, tuple) else given)
        return x_BCHW.flatten(0, 1)[:1], x_BCHW


class Pairs(Small):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.rows(x_BCHW)[1].mean((2, 3)))


def test_of_several_tensors_the_map_is_taken():
    net = probed(Pairs(rows=nn.Sequential(Pair(3, 4), Pair(4, 6)), head=nn.Linear(6, 5)), 16)
    assert maps(net, 16) == {"rows.0": (4, 8, 8), "rows.1": (6, 4, 4)}


class Stemmed(Small):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.pooled(nn.functional.max_pool2d(self.stem(x_BCHW), 2)).flatten(1))


def test_what_is_called_a_stem_is_no_stage():
    stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 3, 1))
    net = probed(Stemmed(stem=stem, head=nn.Linear(8, 5)), 32)
    assert taps(net) == ("first", "second", "embedding")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (TwoHeads(head=nn.Linear(8, 5), other=nn.Linear(8, 5)), "net gives a tuple in training, not one tensor"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), r"net gives \(2, 4, 14, 14\) for 2 images"),
        (nn.Sequential(nn.Conv2d(3, 4, 16), nn.ReLU(), nn.Flatten()), "net does not end in a linear layer"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), "net does not run on 3x16x16 images"),
    ],
)
def test_what_is_no_classifier_is_refused(net: nn.Module, message: str):
    with pytest.raises(UserError, match=message):
        find_taps(net, 3, 16, "net")


METHODS: dict[str, Mapping[str, Any]] = {
    "fitnet_hint": {},
    "attention_transfer": {},
    "fsp": {},
    "similarity_preserving": {"layers": "stages"},
    "rkd": {"layers": "stages"},
    "pkt": {"layers": "stages"},
    "cosine_table": {"layers": "stages"},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_convolutional_student_learns_from_the_layers_of_a_vit(method: str):
    torch.manual_seed(0)
    teacher = probed(VIT(num_classes=5), 32).eval()
    student = probed(CONVNEXT(num_classes=5), 32)
    terms = {method: complete_term(method, METHODS[method], method)}
    objective = Objective(terms, shapes(student, 3, 32), shapes(teacher, 3, 32))
    assert [pair.teacher[-1] for pair in objective.terms[method].pairs] == ["2", "3", "5"]
    x_BCHW = torch.randn(4, 3, 32, 32)
    with tapped(student, taps(student)) as own, tapped(teacher, taps(teacher)) as other:
        signals = Signals(student(x_BCHW), torch.zeros(4, dtype=torch.long), teacher(x_BCHW), own, other)
    loss = objective(signals)[method]
    loss.backward()
    reached = [
        parameter.grad for parameter in student.get_submodule("features").parameters() if parameter.grad is not None
    ]
    assert loss.isfinite() and loss > 0
    assert reached and all(grad.isfinite().all() for grad in reached)
    assert any(bool(grad.any()) for grad in reached)
    assert all(parameter.grad is None for parameter in teacher.parameters())
