"""Legend: N samples, C classes, K values kept a row."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.labels.format import decode, encode
from pipeline.labels.layout import Format, choose, layout

DENSE32 = Format("dense", "float32")
DENSE16 = Format("dense", "float16")


def there_and_back(logits_NC: Tensor, format: Format) -> Tensor:
    """Through the stored arrays; their types and shapes are those of the layout."""
    count, classes = logits_NC.shape
    stored = {name: tensor.numpy() for name, tensor in encode(logits_NC, format).items()}
    expected = layout(format, count, classes)
    assert stored.keys() == expected.keys()
    for name, (dtype, shape) in expected.items():
        assert stored[name].shape == shape
        stored[name] = stored[name].astype(dtype)
    return decode(stored, np.arange(count), classes)


def slow_topk(row: np.ndarray, k: int) -> np.ndarray:
    """Probabilities by the definition: the k largest as they are, the rest spread evenly."""
    probabilities = np.exp(row.astype(np.float64) - row.max())
    probabilities /= probabilities.sum()
    kept = sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
    left = 1 - sum(probabilities[c] for c in kept)
    return np.array([probabilities[c] if c in kept else left / (len(row) - k) for c in range(len(row))])


@pytest.mark.parametrize(
    ("classes", "compute", "kind", "k", "expected"),
    [
        (10, "float32", "auto", None, DENSE32),
        (256, "bfloat16", "auto", None, DENSE16),
        (256, "float16", "auto", 5, DENSE16),
        (257, "float32", "auto", None, Format("topk", "float16", 10)),
        (1000, "bfloat16", "auto", 20, Format("topk", "float16", 20)),
        (21841, "float32", "auto", None, Format("topk", "float16", 109)),
        (1000, "float32", "dense", None, DENSE32),
        (10, "float32", "topk", 3, Format("topk", "float16", 3)),
    ],
)
def test_the_format_follows_classes_and_compute_type(
    classes: int, compute: str, kind: Literal["auto", "dense", "topk"], k: int | None, expected: Format
) -> None:
    assert choose(classes, compute, kind, k) == expected


@pytest.mark.parametrize(("kind", "k"), [("topk", 10), ("topk", None), ("topk", 11), ("dense", 3)])
def test_a_k_that_makes_no_sense_is_refused(kind: Literal["dense", "topk"], k: int | None) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: labels\.k"):
        choose(10, "float32", kind, k)


def test_float32_loses_nothing() -> None:
    logits_NC = torch.randn(50, 10) * 30
    assert torch.equal(there_and_back(logits_NC, DENSE32), logits_NC)


def test_float16_loses_nothing_of_bfloat16() -> None:
    logits_NC = (torch.randn(500, 10) * 10).bfloat16()
    logits_NC = logits_NC[logits_NC.abs().amin(1) > 2**-14]
    assert len(logits_NC) > 400
    assert torch.equal(there_and_back(logits_NC, DENSE16), logits_NC.float())


def test_float16_keeps_the_probabilities_of_logits_beyond_its_range() -> None:
    logits_NC = torch.tensor([[1e5, 1e5 + 1, -1e5], [-1e5, -3e38, -1e5 + 2], [65504, 65503, 0], [1, 2, 3]])
    stored_NC = there_and_back(logits_NC, DENSE16)
    assert torch.isfinite(stored_NC).all()
    torch.testing.assert_close(stored_NC.softmax(1)[[0, 1, 3]], logits_NC.softmax(1)[[0, 1, 3]])
    assert stored_NC[2:].tolist() == [[65504, 65504, 0], [1, 2, 3]]  # within the range nothing is shifted


@pytest.mark.parametrize(("classes", "index"), [(2, "uint8"), (256, "uint8"), (257, "uint16"), (70_000, "uint32")])
def test_indices_have_the_smallest_type_and_reach_the_last_class(classes: int, index: str) -> None:
    format = Format("topk", "float32", 1)
    assert layout(format, 3, classes)["indices"] == (np.dtype(index), (3, 1))
    logits_NC = torch.zeros(3, classes)
    logits_NC[:, -1] = 5
    torch.testing.assert_close(there_and_back(logits_NC, format), logits_NC)


@given(st.integers(2, 12).flatmap(lambda c: st.tuples(st.just(c), st.integers(1, c - 1))), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_topk_keeps_the_largest_and_spreads_the_rest(sizes: tuple[int, int], seed: int) -> None:
    classes, k = sizes
    # Few distinct values: ties are the rule, also at the boundary.
    logits_NC = torch.from_numpy(np.random.default_rng(seed).integers(-4, 5, (5, classes))).float()
    probability_NC = there_and_back(logits_NC, Format("topk", "float32", k)).softmax(1)
    expected_NC = np.array([slow_topk(row, k) for row in logits_NC.numpy()])
    np.testing.assert_allclose(probability_NC.numpy(), expected_NC, rtol=1e-5, atol=1e-7)


def test_of_equal_logits_the_first_classes_are_kept() -> None:
    kept = encode(torch.zeros(2, 5000), Format("topk", "float16", 4))["indices"]
    assert kept.tolist() == [[0, 1, 2, 3]] * 2


def test_topk_survives_float16_and_hopeless_classes() -> None:
    logits_NC = torch.tensor([[90.0, -1e5, -2e5, -3e5], [8.0, 7.0, -60.0, -90.0]])
    found_NC = there_and_back(logits_NC, Format("topk", "float16", 2))
    assert torch.isfinite(found_NC).all()
    torch.testing.assert_close(found_NC.softmax(1), logits_NC.softmax(1), rtol=1e-2, atol=1e-6)
