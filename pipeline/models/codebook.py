"""Weight sharing (Han et al. 2016, Deep Compression, section 3): each weight is an index into a few centroids.

Centroids of a tensor are found by k-means from a start that is even over the range of its weights, which the
paper found best; they are not trained further, and there is no Huffman coding: the compressed size is zlib's.
Weights that pruning set to zero stay exactly zero.

The file is safetensors: `<name>.centroids` float32 (K,), `<name>.indices` uint8, `bits` bits an index, packed;
what is not shared (biases, batch norm) under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline.base.errors import UserError
from pipeline.base.files import write_bytes

ITERATIONS = 50
# In the file's metadata: pipeline.models.files knows by it that this module reads the file.
SHARED = "codebook"


def codebook(weights: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Centroids float32 (K,), K <= 2**bits, ascending, and the index of each weight's, uint8, shape of `weights`.

    bits: 1 .. 8. Where some weights are exactly zero, so is one centroid, and they alone have it. Weights that have no
    more values than that are their own centroids, so that the codebook of shared weights is theirs: k-means could merge
    two of them.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"codebooks have 1 to 8 bits, not {bits}")
    values, indices = np.unique(weights, return_inverse=True)
    if len(values) <= 2**bits:
        return values.astype(np.float32), indices.astype(np.uint8).reshape(weights.shape)
    flat = weights.astype(np.float64).ravel()
    free = flat[flat != 0]
    has_zero = len(free) < len(flat)
    centroids = _k_means(free, 2**bits - has_zero) if len(free) else np.empty(0)
    centroids = np.unique(centroids.astype(np.float32))
    indices = _nearest(flat, centroids) if len(free) else np.zeros(len(flat), np.int64)
    if has_zero:
        place = int(np.searchsorted(centroids, 0))
        indices += indices >= place
        indices[flat == 0] = place
        centroids = np.insert(centroids, place, 0)
    return centroids, indices.astype(np.uint8).reshape(weights.shape)


def save_shared(state: Mapping[str, np.ndarray], path: Path, bits: int) -> None:
    """Write a network's tensors, those of more than one axis as codebooks of `bits` bits where that is smaller."""
    tensors: dict[str, np.ndarray] = {}
    shared: dict[str, dict[str, object]] = {}
    for name in sorted(state):
        value = np.asarray(state[name], order="C")
        if value.ndim < 2 or value.dtype != np.float32 or value.size <= 2**bits:
            tensors[name] = value
            continue
        centroids, indices = codebook(value, bits)
        tensors[f"{name}.centroids"], tensors[f"{name}.indices"] = centroids, pack(indices.ravel(), bits)
        shared[name] = {"shape": list(value.shape), "bits": bits}
    write_bytes(path, save(tensors, {SHARED: json.dumps(shared, sort_keys=True)}))


def load_shared(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_shared` wrote, float32: exactly the centroids. A missing or damaged file is a `UserError`."""
    try:
        with safe_open(path, framework="numpy") as file:
            shared = json.loads((file.metadata() or {})[SHARED])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, how in shared.items():
            count = int(np.prod(how["shape"]))
            indices = unpack(tensors.pop(f"{name}.indices"), how["bits"], count)
            tensors[name] = tensors.pop(f"{name}.centroids")[indices].reshape(how["shape"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is no whole file of shared weights ({error}): delete it and run `dvc repro`") from None
    return dict(sorted(tensors.items()))


def pack(indices_N: np.ndarray, bits: int) -> np.ndarray:
    """Indices uint8 (N,) below 2**bits, to ceil(N * bits / 8) bytes, highest bit first."""
    return np.packbits(np.unpackbits(indices_N[:, None], axis=1)[:, 8 - bits :])


def unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first `count` indices, uint8, of what `pack` made."""
    if len(packed) != -(-count * bits // 8):
        raise ValueError(f"{len(packed)} bytes do not hold {count} indices of {bits} bits")
    bits_NB = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    padded_N8 = np.pad(bits_NB, ((0, 0), (8 - bits, 0)))
    return np.packbits(padded_N8, axis=1)[:, 0]


def _k_means(values_N: np.ndarray, count: int) -> np.ndarray:
    """Lloyd's algorithm in one dimension; ascending. A centroid that no value is nearest to stays where it is."""
    centroids_K = np.linspace(values_N.min(), values_N.max(), count)
    for _ in range(ITERATIONS):
        nearest_N = _nearest(values_N, centroids_K)
        sums_K = np.bincount(nearest_N, values_N, count)
        counts_K = np.bincount(nearest_N, minlength=count)
        moved_K = np.where(counts_K, sums_K / np.maximum(counts_K, 1), centroids_K)
        if np.array_equal(moved_K, centroids_K):
            break
        centroids_K = moved_K
    return centroids_K


def _nearest(values_N: np.ndarray, centroids_K: np.ndarray) -> np.ndarray:
    return np.searchsorted((centroids_K[1:] + centroids_K[:-1]) / 2, values_N)
