"""Shared weights: near, exactly reloaded, and as small as their bits say."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import UserError
from pipeline.evaluation.cost import compressed_bytes
from pipeline.models.codebook import codebook, load_shared, pack, save_shared, unpack


def weights(shape: tuple[int, ...] = (16, 8, 3, 3), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(st.integers(1, 8), st.integers(0, 50), st.integers(0, 9))
def test_packed_indices_come_back(bits, count, seed):
    indices = np.random.default_rng(seed).integers(0, 2**bits, count, np.uint8)
    packed = pack(indices, bits)
    assert len(packed) == -(-count * bits // 8)
    np.testing.assert_array_equal(unpack(packed, bits, count), indices)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_centroids_are_the_means_of_their_weights_and_each_weight_has_the_nearest(bits):
    w = weights()
    centroids, indices = codebook(w, bits)
    assert len(centroids) <= 2**bits
    assert indices.shape == w.shape
    distances = np.abs(w[..., None] - centroids)
    assert (np.take_along_axis(distances, indices[..., None].astype(int), -1)[..., 0] <= distances.min(-1) + 1e-6).all()
    if bits <= 2:  # more centroids need more rounds than are made
        for k, centroid in enumerate(centroids):
            assert centroid == pytest.approx(w[indices == k].mean(), abs=1e-3)


def test_more_bits_are_nearer():
    w = weights()
    errors = [np.square(w - centroids[indices]).mean() for centroids, indices in (codebook(w, b) for b in (1, 2, 4, 6))]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * errors[0]


def test_pruned_weights_stay_exactly_zero():
    w = weights()
    w[np.abs(w) < 0.5] = 0
    centroids, indices = codebook(w, 2)
    np.testing.assert_array_equal(centroids[indices] == 0, w == 0)
    assert len(centroids) == 4
    centroids, indices = codebook(np.zeros((3, 4), np.float32), 2)
    assert centroids.tolist() == [0]
    assert not indices.any()


def test_few_different_weights_are_kept_exactly():
    w = np.array([[0.5, -1, 0.5, -1]], np.float32)
    centroids, indices = codebook(w, 1)
    np.testing.assert_array_equal(centroids[indices], w)


@pytest.mark.parametrize("zeros", [False, True])
@given(st.integers(1, 6), st.integers(0, 999))
def test_the_codebook_of_shared_weights_is_theirs(zeros: bool, bits: int, seed: int) -> None:
    """What a step computes with is what its file holds: far values leave centroids of their own kind unused."""
    w = np.random.default_rng(seed).standard_cauchy(size=(9, 40)).astype(np.float32)
    w[:, ::3] *= not zeros
    centroids, indices = codebook(w, bits)
    shared = centroids[indices]
    again, indices = codebook(shared, bits)
    np.testing.assert_array_equal(again[indices], shared)


def test_a_file_comes_back_exactly_and_is_small(tmp_path: Path):
    state = {"a.weight": weights((64, 64, 3, 3)), "a.bias": weights((64,)), "a.count": np.array(7)}
    path = tmp_path / "shared.safetensors"
    save_shared(state, path, 4)
    found = load_shared(path)
    centroids, indices = codebook(state["a.weight"], 4)
    assert list(found) == sorted(state)
    np.testing.assert_array_equal(found["a.weight"], centroids[indices])
    np.testing.assert_array_equal(found["a.bias"], state["a.bias"])
    assert found["a.count"] == 7
    assert path.stat().st_size < 0.14 * state["a.weight"].nbytes
    assert compressed_bytes(path) < path.stat().st_size
    first = path.read_bytes()
    save_shared(state, path, 4)
    assert path.read_bytes() == first


@pytest.mark.parametrize("damage", [lambda b: b[:-8], lambda b: b"", lambda b: b.replace(b'bits\\":4', b'bits\\":5')])
def test_a_damaged_file_is_named(tmp_path: Path, damage):
    path = tmp_path / "shared.safetensors"
    save_shared({"a": weights()}, path, 4)
    content = path.read_bytes().replace(b'bits\\": 4', b'bits\\":4 ')
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.raises(UserError, match=r"shared\.safetensors is no whole file"):
        load_shared(path)
    with pytest.raises(UserError, match="is missing"):
        load_shared(tmp_path / "absent")
