"""Tensors of a file on a network: the same network whatever wraps it, its classes by their names, else one sentence."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.build import build
from pipeline.models.fit import fit, last_layer

CLASSES = ("ant", "bee", "cat", "dog")
State = dict[str, Tensor]


def net(classes: int = 4, widths: tuple[int, ...] = (4, 8), channels: int = 1) -> nn.Module:
    torch.manual_seed(len(widths))
    architecture = {"family": "plain", "widths": [*widths]}
    return build(architecture, channels=channels, size=8, classes=classes)


def state(**of: Any) -> State:
    return {key: value.clone() for key, value in net(**of).state_dict().items()}


def fitted(tensors: Mapping[str, Tensor], **options: Any) -> Any:
    return fit(net(), tensors, "a.pth", **{"classes": CLASSES, **options})


def filled(tensors: Mapping[str, Tensor], **options: Any) -> State:
    """All of a network that was filled from a file."""
    model = net()
    for each in model.parameters():
        each.data.fill_(7)
    model.load_state_dict(fitted(tensors, **options).tensors, strict=False)
    return model.state_dict()


def equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def within(key: str) -> str:
    """As where a part of a network was compiled and another one was wrapped for several cards."""
    return key.replace("stage1.", "stage1._orig_mod.").replace("linear.", "module.linear.module.")


RENAMED: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "cards": lambda key: f"module.{key}",
    "compiled": lambda key: f"_orig_mod.{key}",
    "all": lambda key: f"module._orig_mod.model.{key}",
    "lightning": lambda key: f"model.{key}",
    "own wrapper": lambda key: f"backbone.net.{key}",
    "parts": within,
}


@pytest.mark.parametrize("how", RENAMED)
def test_what_wraps_a_network_is_stripped(how: str) -> None:
    renamed = {RENAMED[how](key): value for key, value in state().items()}
    found = fitted(renamed)
    assert equal(found.tensors, state())
    assert bool(found.notes) is (how != "as it is")


def test_a_network_that_wraps_another_takes_the_plain_file() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = net()

    found = fit(Wrapper(), {f"model.{key}": value for key, value in state().items()}, "a.pth", classes=CLASSES)
    assert {*found.tensors} == {f"backbone.{key}" for key in state()}
    assert found.notes == ("model. is stripped from its names and backbone. is put before its names",)


def test_what_lies_beside_is_left_out_and_named() -> None:
    beside = {"n_averaged": torch.tensor(3), "criterion.weight": torch.ones(4)}
    found = fitted({f"module.{key}": value for key, value in state().items()} | beside)
    assert equal(found.tensors, state())
    assert any("not taken" in note and "criterion.weight, n_averaged" in note for note in found.notes)
    found = fitted(state() | {"aux1.conv.weight": torch.ones(4), "total_ops": torch.ones(1)})
    assert equal(found.tensors, state())
    assert "not taken, as this network does not have it: aux1.conv.weight, total_ops" in found.notes


def test_counters_of_batch_norm_may_be_absent_and_half_precision_is_widened() -> None:
    few = {key: value.half() for key, value in state().items() if value.is_floating_point()}
    found = fitted(few)
    assert {each.dtype for each in found.tensors.values()} == {torch.float32}
    assert found.tensors.keys() == few.keys()


ORDER = ("dog", "ant", "cat", "bee")


def in_order(names: tuple[str, ...], of: State) -> State:
    """The network's state with the rows of its last layer in another order of classes."""
    rows = [CLASSES.index(name) for name in names]
    return {key: value[rows] if key.startswith("linear.") else value for key, value in of.items()}


def test_a_permuted_last_layer_is_put_into_the_data_s_order_by_names() -> None:
    permuted = in_order(ORDER, state())
    assert not equal(permuted, state())
    found = fitted(permuted, names=ORDER)
    assert equal(found.tensors, state())
    assert found.named
    assert "rows of its last layer are put into the data's order of classes, by their names" in found.notes
    x_BCHW = torch.randn(2, 1, 8, 8)
    model = net().eval()
    wanted = model(x_BCHW)
    model.load_state_dict(found.tensors)
    assert torch.equal(model(x_BCHW), wanted)


def test_extra_classes_are_dropped_and_named() -> None:
    larger = state(classes=6)
    names = ("eel", "dog", "ant", "fox", "cat", "bee")
    found = fitted(larger, names=names)
    for row, name in enumerate(CLASSES):
        assert torch.equal(found.tensors["linear.weight"][row], larger["linear.weight"][names.index(name)])
        assert found.tensors["linear.bias"][row] == larger["linear.bias"][names.index(name)]
    assert "2 classes are dropped that the data does not have: eel, fox" in found.notes


@pytest.mark.parametrize(
    ("names", "count", "sentence"),
    [
        (("ant", "bee", "cat"), 4, r"3 names of classes are given, and its last layer has 4"),
        (("ant", "bee", "cat", "cat"), 4, r"two of its classes are called 'cat'"),
        (
            ("ant", "bees", "cat", "cow"),
            4,
            r"not know 2 of the 4 classes .* 'bee', 'dog' \(did you mean its 'bees'\?\)",
        ),
        (("x", "y"), 2, r"not know 4 of the 4 classes of the data, such as 'ant', 'bee', 'cat': .*head: new"),
    ],
)
def test_names_that_are_not_those_of_the_data(names: tuple[str, ...], count: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        fitted(state(classes=count), names=names)


def test_a_new_last_layer_leaves_the_network_s_own() -> None:
    found = fitted(state(classes=9), head="new")
    assert not any(key.startswith("linear.") for key in found.tensors)
    model = net()
    fresh = model.state_dict()["linear.weight"].clone()
    model.load_state_dict(found.tensors, strict=False)
    assert torch.equal(model.state_dict()["linear.weight"], fresh)
    assert found.notes == ("the last layer, linear, is new, for 4 classes",)
    assert not found.named


def test_a_file_without_its_last_layer_is_taken_for_a_new_one_alone() -> None:
    headless = {key: value for key, value in state().items() if not key.startswith("linear.")}
    assert equal(fitted(headless, head="new").tensors, headless)
    with pytest.raises(UserError, match=r"lacks 2 of \d+ tensors, such as 'linear\.\w+': its last layer is another"):
        fitted(headless)


def renamed_layers(of: State) -> State:
    return {f"conv{number}.{key.rpartition('.')[2]}": value for number, (key, value) in enumerate(of.items())}


REFUSED: dict[str, tuple[State, str]] = {
    "classes": (
        state(classes=9),
        r"^a\.pth has 2 of another shape, .* it was trained for 9 classes and the data has 4: .*head: new",
    ),
    "another architecture": ({"x.weight": torch.ones(2)}, r"lacks .*: no name fits, so it is of another architecture$"),
    "another library's": (renamed_layers(state()), r"the same shapes and other names"),
    "deeper": (state(widths=(4, 8, 8)), r"such as 'stage3.*of other settings of this one"),
    "shallower": (state(widths=(4,)), r"lacks \d+ of \d+ tensors, such as 'stage2.*: it is of"),
    "wider": (state(widths=(8, 8)), r"has \d of another shape, .*same architecture at another width"),
    "channels": (state(channels=3), r"it was made for images of 3 channels, and these have 1$"),
    "broken": (
        state() | {"linear.bias": torch.tensor([1.0, float("inf"), 1.0, 1.0])},
        r"'linear\.bias' that are not finite",
    ),
    "integers": (state() | {"linear.bias": torch.ones(4, dtype=torch.int8)}, r"'linear\.bias' as torch\.int8"),
    "complex": (state() | {"linear.bias": torch.ones(4, dtype=torch.complex64)}, r"as torch\.complex64"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_said_in_one_sentence_with_the_likely_reason(what: str) -> None:
    tensors, sentence = REFUSED[what]
    with pytest.raises(UserError, match=sentence) as refused:
        fitted(tensors)
    assert "\n" not in str(refused.value)


def test_more_layers_of_the_same_shape_are_no_smaller_network() -> None:
    """All that a residual network of depth 8 has is in one of depth 14, in the same shapes."""
    of = {"family": "residual", "width": 4}
    deep, small = (build({**of, "depth": depth}, channels=1, size=8, classes=4) for depth in (14, 8))
    assert all(deep.state_dict()[key].shape == each.shape for key, each in small.state_dict().items())
    with pytest.raises(UserError, match=r"has \d+ that this network does not have, such as 'stage1\.1"):
        fit(small, deep.state_dict(), "a.pth", classes=CLASSES)


def test_the_last_layer_is_the_one_that_gives_the_logits() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(2, 4)
            self.embedding = nn.Identity()
            self.last.embedding = self.embedding
            self.first = nn.Linear(8, 2)
            self.taps = ("embedding",)

    assert last_layer(Odd()) == "last"
    assert last_layer(net()) == "linear"
    assert last_layer(nn.ReLU()) is None
