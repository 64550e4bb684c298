"""The basis of low-rank labels. Legend: N rows of a sample, B batch, C classes, R components."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.base.files import sha256
from pipeline.labels.basis import BITS, MOST, SAMPLE, Basis, fit, sample_rows
from pipeline.labels.format import decode, encode
from pipeline.labels.kept_basis import SEAL, kept_basis, read_basis
from pipeline.labels.layout import BASIS, Format, layout
from pipeline.labels.store import stored

LOWRANK = Format("lowrank", "float16", 3, 6)
CLASSES = 40


def answered(count: int, seed: int = 0, rank: int = 6) -> Tensor:
    """Logits of so many components, and a mean."""
    drawn = np.random.default_rng(seed)
    axes_RC = np.random.default_rng(9).normal(size=(rank, CLASSES)) * np.arange(1, rank + 1)[:, None]
    z_NC = drawn.normal(size=(count, rank)) @ axes_RC + 5 * np.random.default_rng(8).normal(size=CLASSES)
    return torch.from_numpy(z_NC.astype(np.float32))


def there_and_back(z_NC: Tensor, basis: Basis, format: Format = LOWRANK) -> Tensor:
    arrays = stored(encode(z_NC, format, basis), format, CLASSES)
    expected = layout(format, len(z_NC), CLASSES)
    assert {name: (each.dtype, each.shape) for name, each in arrays.items()} == expected
    return decode(arrays, np.arange(len(z_NC)), CLASSES, basis)


def test_logits_of_as_many_components_come_back_to_half_a_step() -> None:
    basis = fit(answered(500), 6)
    z_NC = answered(200, seed=1)
    inside_N = (basis.coefficients(z_NC).abs() < MOST).all(1)
    assert inside_N.sum() > 150
    bound_C = 0.5 * basis.steps_RC.abs().sum(0)
    difference_NC = (basis.logits(basis.coefficients(z_NC)) - z_NC).abs()[inside_N]
    assert (difference_NC <= bound_C * 1.001 + 1e-4).all()
    assert float(bound_C.mean()) < 0.02 * float(z_NC.std()), "which is little"


def test_the_components_are_those_of_most_variance() -> None:
    z_NC = answered(300, rank=12)
    basis = fit(z_NC, 4)
    centred = z_NC.double().numpy() - z_NC.double().numpy().mean(0)
    _, _, expected = np.linalg.svd(centred, full_matrices=False)
    found = basis.steps_RC.double().numpy()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(np.sum(found * expected[:4], 1)), 1, atol=1e-5)
    largest = np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1)
    assert (largest > 0).all()
    np.testing.assert_allclose(basis.mean_C.numpy(), z_NC.numpy().mean(0), rtol=1e-5)


def test_the_largest_coefficient_of_the_sample_has_all_steps_and_others_stay_there() -> None:
    z_NC = answered(300)
    basis = fit(z_NC, 6)
    assert basis.coefficients(z_NC).abs().amax(0).tolist() == [MOST] * 6
    far_NC = basis.coefficients((z_NC - basis.mean_C) * 1e4 + basis.mean_C)
    assert int(far_NC.min()) == -MOST and int(far_NC.max()) == MOST


def test_a_sum_is_exact_so_that_its_bits_hang_on_nothing_else() -> None:
    """Against whole numbers of any size; in batches of one, in another order, and with more threads."""
    basis = fit(answered(400, rank=12), 12)
    unit = 2.0 ** (math.frexp(float(basis.steps_RC.abs().max()))[1] - BITS)
    assert torch.equal(basis.steps_RC.double() % unit, torch.zeros(12, CLASSES).double()), "all entries lie on one grid"
    coefficients_BR = basis.coefficients(answered(37, seed=3, rank=12))
    found_BC = basis.logits(coefficients_BR)
    for row, column in ((0, 0), (5, 39), (36, 17)):
        exact = sum(
            Fraction(int(c)) * Fraction(float(step))
            for c, step in zip(coefficients_BR[row], basis.steps_RC[:, column], strict=True)
        )
        assert Fraction(float(exact)) == exact
        assert found_BC[row, column] == np.float32(float(exact) + float(basis.mean_C[column]))
    one_by_one = torch.cat([basis.logits(each) for each in coefficients_BR.split(1)])
    assert torch.equal(found_BC, one_by_one)
    shuffled = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    other = Basis(basis.mean_C, basis.steps_RC[shuffled])
    assert torch.equal(found_BC, other.logits(coefficients_BR[:, shuffled]))


def test_equal_answers_have_a_basis_of_nothing() -> None:
    z_NC = torch.full((20, CLASSES), 2.5)
    basis = fit(z_NC, 6)
    torch.testing.assert_close(there_and_back(z_NC, basis), z_NC, rtol=1e-6, atol=0)
    assert (basis.coefficients(answered(5)) == 0).all(), "what the sample does not have is not there"


def test_fewer_rows_than_components_are_enough() -> None:
    z_NC = answered(3)
    basis = fit(z_NC, 6)
    assert basis.steps_RC.isfinite().all()
    torch.testing.assert_close(there_and_back(z_NC, basis), z_NC, rtol=0.02, atol=0.2)


def test_fitting_leaves_the_sample_as_it_was_and_gives_the_same_again() -> None:
    z_NC = answered(100).double()
    before = z_NC.clone()
    one, two = fit(z_NC, 6), fit(z_NC, 6)
    assert torch.equal(z_NC, before)
    assert torch.equal(one.steps_RC, two.steps_RC) and torch.equal(one.mean_C, two.mean_C)


def test_the_largest_logits_are_kept_as_they_are_and_all_others_are_below() -> None:
    z_NC = answered(200, seed=2, rank=30)  # of which the basis has 6
    found_NC = there_and_back(z_NC, fit(answered(500, rank=30), 6))
    top_N3, classes_N3 = z_NC.sort(dim=1, descending=True, stable=True)
    kept_N3 = found_NC.gather(1, classes_N3[:, :3])
    assert torch.equal(kept_N3, top_N3[:, :3].half().float())
    others_NC = found_NC.scatter(1, classes_N3[:, :3], -torch.inf)
    assert (others_NC < kept_N3[:, 2:]).all()
    assert ((kept_N3[:, 2] - others_NC.amax(1)) < 1e-4).any(), "some would be above"


def test_it_keeps_more_of_probabilities_than_topk_in_the_same_bytes() -> None:
    z_NC = answered(200, seed=4, rank=10)
    format = Format("lowrank", "float16", 3, 8)  # 17 bytes a row
    found_NC = there_and_back(z_NC, fit(answered(500, rank=10), 8), format)
    topk = Format("topk", "float16", 5)  # 17 bytes a row
    other_NC = decode(stored(encode(z_NC, topk), topk, CLASSES), np.arange(200), CLASSES)

    def kl(back_NC: Tensor) -> float:
        p_NC, q_NC = (each.double().div(4).log_softmax(1) for each in (z_NC, back_NC))
        return float((p_NC.exp() * (p_NC - q_NC)).sum(1).mean())

    assert kl(found_NC) < 0.2 * kl(other_NC)


def test_logits_beyond_float16_stay_finite() -> None:
    z_NC = answered(50)
    z_NC[7] *= 1e5
    assert there_and_back(z_NC, fit(z_NC, 6)).isfinite().all()


@pytest.mark.parametrize("count", [1, 5, SAMPLE, SAMPLE + 1, 1_281_167])
def test_a_sample_is_evenly_spaced(count: int) -> None:
    rows = sample_rows(count)
    assert len(rows) == min(count, SAMPLE)
    assert rows[0] == 0 and count - 1 - count // len(rows) <= rows[-1] < count
    gaps = np.diff(rows)
    assert len(gaps) == 0 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)


def test_a_basis_is_kept_and_its_sample_asked_for_once(tmp_path: Path) -> None:
    asked = []

    def sample() -> Tensor:
        asked.append(1)
        return answered(100)

    first = kept_basis(tmp_path, LOWRANK, CLASSES, sample)
    again = kept_basis(tmp_path, LOWRANK, CLASSES, sample)
    assert first is not None and again is not None and len(asked) == 1
    assert torch.equal(first.steps_RC, again.steps_RC) and torch.equal(first.mean_C, again.mean_C)
    assert kept_basis(tmp_path, Format("dense", "float32"), CLASSES, sample) is None and len(asked) == 1


@pytest.mark.parametrize("name", [BASIS, SEAL])
@pytest.mark.parametrize("damage", ["gone", "changed", "cut"])
def test_a_damaged_basis_takes_the_parts_with_it(tmp_path: Path, name: str, damage: str) -> None:
    kept_basis(tmp_path, LOWRANK, CLASSES, lambda: answered(100))
    whole = (tmp_path / BASIS).read_bytes()
    (tmp_path / "parts").write_bytes(b"encoded in it")
    content = (tmp_path / name).read_bytes()
    if damage == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    kept_basis(tmp_path, LOWRANK, CLASSES, lambda: answered(100))
    assert (tmp_path / BASIS).read_bytes() == whole
    assert not (tmp_path / "parts").exists()


def test_a_basis_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    broken_NC = answered(100)
    basis = kept_basis(tmp_path, LOWRANK, CLASSES, lambda: broken_NC)
    assert basis is not None
    content = bytearray((tmp_path / BASIS).read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    (tmp_path / BASIS).write_bytes(content)
    with pytest.raises(UserError, match=r"basis\.safetensors has numbers that are not finite: delete the folder"):
        read_basis(tmp_path, LOWRANK, CLASSES, sha256(tmp_path / BASIS))
