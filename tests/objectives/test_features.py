"""The losses on layers: against their slow twins, and the exact properties that the papers promise."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.objectives import rkd_angle as angles
from pipeline.objectives.fitnet_hint import FitnetHint
from pipeline.objectives.fsp import Fsp
from pipeline.objectives.vectors import off_diagonal, unit
from tests import reference_features as reference
from tests.objectives.losses import FEATURES, loss

NAMES = sorted({name for name, _ in FEATURES})
RELATIONS = [case for case in FEATURES if case[0] != "attention_transfer"]


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def value_and_gradient(function: Callable[[list[Tensor]], Tensor], *layers: Tensor) -> tuple[Tensor, list[Tensor]]:
    leaves = [layer.detach().clone().requires_grad_() for layer in layers]
    value = function(leaves)
    value.backward()
    return value.detach(), [torch.zeros(0) if leaf.grad is None else leaf.grad for leaf in leaves]


def assert_close(value: Tensor, grads: Sequence[Tensor], twin: Tensor, twin_grads: Sequence[Tensor]) -> None:
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), twin, rtol=1e-5, atol=1e-5)
    for grad, twin_grad in zip(grads, twin_grads, strict=True):
        assert float(twin_grad.abs().max()) > 1e-6
        torch.testing.assert_close(grad.double(), twin_grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [3, 5])
@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_it_equals_the_reference(name: str, settings: dict[str, Any], batch: int):
    s, t = features(batch, 3, 3, 2, seed=1), features(batch, 5, 3, 2, seed=2)
    twin_of = getattr(reference, name)
    value, grads = value_and_gradient(lambda leaves: loss(name)(leaves, [t], **settings), s)
    twin, twin_grads = value_and_gradient(lambda leaves: twin_of(leaves[0], t.double(), **settings), s.double())
    assert_close(value, grads, twin, twin_grads)


@pytest.mark.parametrize(("name", "settings"), RELATIONS)
def test_embeddings_are_as_good_as_maps(name: str, settings: dict[str, Any]):
    s, t = features(5, 7, seed=1), features(5, 3, seed=2)
    as_maps = loss(name)([s[:, :, None, None]], [t[:, :, None, None]], **settings)
    assert loss(name)([s], [t], **settings) == as_maps
    assert as_maps > 0


@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_bfloat16_layers_are_computed_in_float32_also_under_autocast(name: str, settings: dict[str, Any]):
    s, t = features(5, 3, 2, 3, seed=1), features(5, 4, 2, 3, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(name)([s.bfloat16()], [t.bfloat16()], **settings)
    assert value.dtype == torch.float32
    twin_of = getattr(reference, name)
    widened = twin_of(s.bfloat16().double(), t.bfloat16().double(), **settings)
    torch.testing.assert_close(value.double(), widened, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(value.double(), twin_of(s.double(), t.double(), **settings), rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_pairs_of_layers_are_summed(name: str, settings: dict[str, Any]):
    s, t = [features(4, 3, 2, 2, seed=1), features(4, 2, 4, 4, seed=2)], [features(4, 5, 2, 2, seed=3)] * 2
    both = loss(name)(s, t, **settings)
    torch.testing.assert_close(both, loss(name)(s[:1], t[:1], **settings) + loss(name)(s[1:], t[1:], **settings))


@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_no_gradient_reaches_the_teacher(name: str, settings: dict[str, Any]):
    s, t = features(5, 3, 2, 2, seed=1).requires_grad_(), features(5, 3, 2, 2, seed=2).requires_grad_()
    loss(name)([s], [t], **settings).backward()
    assert t.grad is None
    assert s.grad is not None
    assert s.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_it_is_zero_at_equality_and_never_negative(name: str, settings: dict[str, Any]):
    t = features(8, 3, 2, 2, seed=2)
    value, grads = value_and_gradient(lambda leaves: loss(name)(leaves, [t], **settings), t)
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(grads[0]).all()
    if (name, settings.get("normalisation", "paper")) != ("attention_transfer", "paper"):  # a norm has no zero slope
        assert float(grads[0].abs().max()) < 1e-5
    noise = features(8, 3, 2, 2, seed=3)
    for scale in (1e-3, 0.1, 1.0, 100.0):
        assert float(loss(name)([t + scale * noise], [t], **settings)) >= -1e-6
    assert float(loss(name)([noise], [t], **settings)) > 1e-3


@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_the_scale_of_a_layer_does_not_matter(name: str, settings: dict[str, Any]):
    s, t = features(5, 3, 2, 2, seed=1), features(5, 4, 2, 2, seed=2)
    expected = loss(name)([s], [t], **settings)
    for scale in (1e-2, 7.0, 1e3):
        torch.testing.assert_close(loss(name)([scale * s], [t], **settings), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(loss(name)([s], [scale * t], **settings), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["rkd_distance", "rkd_angle", "rkd"])
def test_relational_losses_ignore_translation_and_rotation(name: str):
    s, t = features(6, 4, seed=1), features(6, 3, seed=2)
    rotation = torch.linalg.qr(features(4, 4, seed=3))[0]
    moved = 2.5 * s @ rotation.T + torch.tensor([3.0, -1.0, 0.0, 8.0])
    torch.testing.assert_close(loss(name)([moved], [t]), loss(name)([s], [t]), rtol=1e-4, atol=1e-6)
    assert float(loss(name)([2.5 * t @ torch.linalg.qr(features(3, 3))[0].T + 1], [t])) < 1e-6


@pytest.mark.parametrize("name", ["similarity_preserving", "cosine_table", "pkt"])
def test_similarities_ignore_rotation_but_not_translation(name: str):
    s, t = features(6, 4, seed=1), features(6, 3, seed=2)
    rotation = torch.linalg.qr(features(4, 4, seed=3))[0]
    expected = loss(name)([s], [t])
    torch.testing.assert_close(loss(name)([s @ rotation.T], [t]), expected, rtol=1e-4, atol=1e-6)
    assert abs(float(loss(name)([s + 3], [t]) - expected)) > 1e-3


def test_the_cosine_table_ignores_the_scale_of_each_sample_where_similarity_preserving_does_not():
    s, t = features(5, 4, seed=1), features(5, 3, seed=2)
    scaled = s * torch.tensor([[0.1], [1.0], [5.0], [2.0], [30.0]])
    torch.testing.assert_close(loss("cosine_table")([scaled], [t]), loss("cosine_table")([s], [t]))
    gap = loss("similarity_preserving")([scaled], [t]) - loss("similarity_preserving")([s], [t])
    assert abs(float(gap)) > 1e-3


def degenerate(batch: int) -> list[Tensor]:
    same = features(1, 3, 2, 2, seed=4).repeat(batch, 1, 1, 1)
    half_dead = features(batch, 3, 2, 2, seed=5)
    half_dead[: batch // 2] = 0
    opposite = same * torch.tensor([1.0, -1.0] * batch)[:batch, None, None, None]
    return [same, torch.zeros(batch, 3, 2, 2), half_dead, opposite]


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_degenerate_batches_have_finite_gradients(name: str, settings: dict[str, Any], batch: int):
    for s in [*degenerate(batch), features(batch, 3, 2, 2)]:
        for t in [*degenerate(batch), features(batch, 2, 2, 2, seed=1)]:
            value, grads = value_and_gradient(lambda leaves, t=t: loss(name)(leaves, [t], **settings), s)
            assert torch.isfinite(value)
            assert torch.isfinite(grads[0]).all()
            assert float(grads[0].abs().max()) < 1e4


@pytest.mark.parametrize(("name", "settings"), FEATURES)
def test_samples_that_differ_by_rounding_alone_have_no_relation(name: str, settings: dict[str, Any]):
    """Copies of one image come out of a network a bit apart, by their places in the batch."""
    same = features(1, 3, 2, 2, seed=4).repeat(4, 1, 1, 1)
    for s in (same * (1 + 1e-7 * features(4, 3, 2, 2)), 0.1 * torch.ones(4, 3, 2, 2) + 1e-8 * features(4, 3, 2, 2)):
        _, grads = value_and_gradient(lambda leaves: loss(name)(leaves, [features(4, 2, 2, 2, seed=1)], **settings), s)
        assert float(grads[0].abs().max()) < 100


@pytest.mark.parametrize("batch", [8, 64, 128])
def test_similarity_by_rows_is_the_papers_at_64_and_does_not_fall_with_the_batch(batch: int):
    student, teacher = [features(batch, 6, seed=1)], [features(batch, 5, seed=2)]
    paper = loss("similarity_preserving")(student, teacher)
    rows = loss("similarity_preserving")(student, teacher, normalisation="rows")
    torch.testing.assert_close(rows, paper * batch / 64)
    twice = [torch.cat([each[0], features(batch, each[0].shape[1], seed=3)]) for each in (student, teacher)]
    larger = loss("similarity_preserving")([twice[0]], [twice[1]], normalisation="rows")
    assert 0.8 < float(larger / rows) < 1.7
    assert float(loss("similarity_preserving")([twice[0]], [twice[1]]) / paper) < 0.85


@pytest.mark.parametrize(("name", "settings"), RELATIONS)
def test_one_sample_has_no_relations(name: str, settings: dict[str, Any]):
    t = features(1, 4, seed=2)
    value, grads = value_and_gradient(lambda leaves: loss(name)(leaves, [t], **settings), features(1, 3))
    assert value == 0
    assert (grads[0] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_layers_that_do_not_go_in_pairs_are_refused(name: str):
    x = features(4, 3, 2, 2)
    with pytest.raises(UserError, match="student gives 2 and the teacher 1"):
        loss(name)([x, x], [x])
    with pytest.raises(UserError, match="at least one"):
        loss(name)([], [])
    with pytest.raises(UserError, match=r"pair 2 .*has 4 samples and the teacher's 3"):
        loss(name)([x, x], [x, x[:3]])


def test_attention_of_different_resolution_is_averaged_to_the_smaller():
    t = features(3, 4, 4, 6, seed=2)
    q_BHW = t.square().sum(1)
    small_BHW = q_BHW.view(3, 2, 2, 2, 3).mean(dim=(2, 4))
    student = small_BHW.sqrt()[:, None]
    assert float(loss("attention_transfer")([student], [t])) < 1e-6
    assert float(loss("attention_transfer")([t], [student])) < 1e-6


def test_attention_needs_maps():
    with pytest.raises(UserError, match=r"gives \(7,\) a sample, which has no positions"):
        loss("attention_transfer")([features(3, 7)], [features(3, 2, 4, 4)])


@pytest.mark.parametrize("chunk", [1, 2 * 7 * 7, 3 * 7 * 7, 2**22])  # 1, 2, 3 vertices of 7 samples at once, and all
def test_angles_do_not_depend_on_the_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch):
    s, t = features(7, 3, seed=1), features(7, 5, seed=2)
    whole, whole_grads = value_and_gradient(lambda leaves: loss("rkd_angle")(leaves, [t]), s)
    monkeypatch.setattr(angles, "CHUNK", chunk)
    value, grads = value_and_gradient(lambda leaves: loss("rkd_angle")(leaves, [t]), s)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(grads[0], whole_grads[0])


PEAK = """
import torch
from pipeline.objectives.rkd_angle import rkd_angle
torch.set_num_threads(1)
def run(batch):
    s, t = torch.randn(batch, 8).requires_grad_(), torch.randn(batch, 16)
    rkd_angle([s], [t]).backward()
    assert torch.isfinite(s.grad).all()
def memory(line):
    status = open("/proc/self/status").read()
    return int(status.split(line + ":")[1].split()[0]) / 1024
run(8)
before = memory("VmRSS")
run(512)
print(memory("VmHWM") - before)
"""


@pytest.mark.long
def test_angles_of_512_samples_fit_in_1_gigabyte():
    if sys.platform != "linux":
        pytest.skip("the peak of resident memory is read from /proc")
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    megabytes = float(done.stdout)
    assert 10 < megabytes < 512


def hint(student: Tensor, teacher: Tensor, **settings: Any) -> FitnetHint:
    torch.manual_seed(0)
    return FitnetHint([student.shape[1:]], [teacher.shape[1:]], **settings)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("kernel", "size"), [(1, (4, 3)), (2, (3, 2)), (3, (2, 1))])
def test_the_hint_equals_the_reference(kernel: int, size: tuple[int, int], reduction: str):
    s, t = features(3, 2, 4, 3, seed=1), features(3, 5, *size, seed=2)
    module = hint(s, t, kernel=kernel, reduction=reduction, strict=True)
    value, grads = value_and_gradient(lambda leaves: module(leaves, [t]), s)
    grads += [p.grad for p in module.parameters() if p.grad is not None]
    twin, twin_grads = value_and_gradient(
        lambda leaves: reference.fitnet_hint(leaves[0], t.double(), leaves[1], leaves[2], reduction),
        s.double(),
        *(p.detach().double() for p in module.parameters()),
    )
    assert_close(value, grads, twin, twin_grads)


def test_the_hint_is_zero_where_the_regressor_gives_the_teacher():
    s, t = features(3, 4, 2, 2), features(3, 4, 2, 2)
    module = hint(s, t)
    conv = module.regressors[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(torch.eye(4)[:, :, None, None])
        conv.bias.zero_()
    assert float(module([s], [t]).detach()) == 0
    assert float(module([s + 2], [t]).detach()) == pytest.approx(2)


def test_a_hint_of_another_resolution_is_averaged_to_the_smaller():
    s, t = features(3, 4, 2, 2, seed=1), features(3, 4, 4, 4, seed=2)
    small = t.view(3, 4, 2, 2, 2, 2).mean(dim=(3, 5))
    torch.testing.assert_close(hint(s, t)([s], [t]), hint(s, small)([s], [small]))
    with pytest.raises(UserError, match=r"pair 1: student \(4, 4, 4\), teacher \(4, 2, 2\): kernel 1 .*kernel 3 would"):
        hint(t, s, strict=True)
    with pytest.raises(UserError, match="name layers of equal resolution, or not be strict"):
        hint(s, t, strict=True)


def test_a_hint_joins_embeddings_too():
    s, t = features(3, 4), features(3, 6)
    module = hint(s, t)
    assert sum(p.numel() for p in module.parameters()) == 4 * 6 + 6
    assert module([s], [t]) > 0


def test_hints_under_autocast_are_float32_and_teach_student_and_regressor_only():
    s, t = features(3, 4, 2, 2, seed=1).requires_grad_(), features(3, 6, 2, 2, seed=2).requires_grad_()
    module = hint(s, t)
    with torch.autocast("cpu", torch.bfloat16):
        value = module([s.bfloat16()], [t.bfloat16()])
    assert value.dtype == torch.float32
    value.backward()
    assert t.grad is None
    assert s.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    torch.testing.assert_close(value, module([s], [t]), rtol=2e-2, atol=1e-3)


def test_hints_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="kernel 3 is larger than the student's map: at most 2 fits"):
        hint(features(3, 4, 2, 5), features(3, 4, 2, 2), kernel=3)
    with pytest.raises(UserError, match=r"pair 1: student \(4, 5\)"):
        hint(features(3, 4, 5), features(3, 4, 2, 2))
    with pytest.raises(UserError, match="student gives 0 and the teacher 0"):
        FitnetHint([], [])


def flow(student: Sequence[Tensor], teacher: Sequence[Tensor], **settings: Any) -> Fsp:
    torch.manual_seed(0)
    return Fsp([x.shape[1:] for x in student], [x.shape[1:] for x in teacher], **settings)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_fsp_equals_the_reference(reduction: str):
    s = [features(3, width, 2, 3, seed=width) for width in (2, 4, 3)]
    t = [features(3, width, 2, 3, seed=9 + width) for width in (2, 4, 3)]
    module = flow(s, t, reduction=reduction)
    value, grads = value_and_gradient(lambda leaves: module(leaves, t), *s)
    wide = [x.double() for x in t]
    twin, twin_grads = value_and_gradient(
        lambda leaves: reference.fsp(leaves, wide, reduction), *(x.double() for x in s)
    )
    assert list(module.parameters()) == []
    assert_close(value, grads, twin, twin_grads)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = module([x.bfloat16() for x in s], [x.bfloat16() for x in t])
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), twin, rtol=2e-2, atol=1e-3)


def test_fsp_max_pools_the_larger_map_of_one_network():
    s = [features(3, 2, 4, 4, seed=1), features(3, 3, 2, 2, seed=2)]
    t = [features(3, 2, 2, 2, seed=3), features(3, 3, 1, 2, seed=4)]
    small = [s[0].view(3, 2, 2, 2, 2, 2).amax(dim=(3, 5)), s[1]], [t[0].amax(dim=2, keepdim=True), t[1]]
    torch.testing.assert_close(flow(s, t)(s, t), flow(*small)(*small))


def test_fsp_adapts_other_widths_only_and_teaches_the_adapter():
    s = [features(3, 2, 2, 2, seed=1), features(3, 3, 2, 2, seed=2)]
    t = [features(3, 2, 2, 2, seed=3).requires_grad_(), features(3, 5, 2, 2, seed=4).requires_grad_()]
    module = flow(s, t)
    assert [tuple(p.shape) for p in module.parameters()] == [(5, 3, 1, 1)]
    module(s, t).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    assert all(x.grad is None for x in t)


def test_fsp_is_zero_at_equality_and_never_negative():
    t = [features(3, 2, 4, 4, seed=1), features(3, 3, 2, 2, seed=2)]
    assert float(flow(t, t)(t, t)) == 0
    assert float(flow(t, t)([x + 0.1 for x in t], t)) > 0
    value, grads = value_and_gradient(lambda leaves: flow(t, t)(leaves, t), *(torch.zeros_like(x) for x in t))
    assert value > 0
    assert all(torch.isfinite(grad).all() for grad in grads)


def test_fsp_refuses_one_layer_embeddings_and_unpaired_layers():
    x = features(3, 2, 2, 2)
    with pytest.raises(UserError, match="a flow is between two layers, but 1 pair"):
        flow([x], [x])
    with pytest.raises(UserError, match=r"fsp, pair 2: student \(4,\)"):
        flow([x, features(3, 4)], [x, x])
    with pytest.raises(UserError, match="student gives 2 and the teacher 1"):
        flow([x, x], [x])


def test_unit_vectors_have_length_one_or_zero():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1e-20]])
    assert unit(x, dim=1).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_off_diagonal_leaves_the_diagonal_out(size: int):
    table = torch.arange(float(size * size)).view(size, size)
    expected = [[float(table[i, j]) for j in range(size) if j != i] for i in range(size)]
    assert off_diagonal(table).shape == (size, size - 1)
    assert off_diagonal(table).tolist() == expected
