import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.base.errors import UserError
from pipeline.labels.mapped import mapped

LAYOUT = {"a": (np.dtype("float16"), (3, 2)), "b": (np.dtype("uint8"), (5,))}
ARRAYS = {"a": np.arange(6, dtype=np.float16).reshape(3, 2), "b": np.arange(5, dtype=np.uint8)}
A = {"dtype": "F16", "shape": [3, 2], "data_offsets": [0, 12]}
B = {"dtype": "U8", "shape": [5], "data_offsets": [12, 17]}


def from_bytes(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """Map a file of which even the hash was made to fit."""
    path.write_bytes(content)
    return mapped(path, LAYOUT, hashlib.sha256(content).hexdigest())


def forged(header: object, data: bytes = bytes(17), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def test_arrays_lie_in_the_file_and_cannot_be_written(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "x")
    found = from_bytes(tmp_path / "x", (tmp_path / "x").read_bytes())
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert not found[name].flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            found[name][0] = 1


def test_metadata_and_odd_positions_are_allowed(tmp_path: Path) -> None:
    content = forged(
        {"__metadata__": {"by": "x"}, "a": {**A, "data_offsets": [5, 17]}, "b": {**B, "data_offsets": [0, 5]}}
    )
    assert from_bytes(tmp_path / "x", content)["a"].tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    "content",
    [
        b"1234567",
        bytes(8),
        forged({"a": A, "b": B}, length=2**63),
        forged({"a": A, "b": B}, length=2**16 + 1, data=bytes(2**17)),
        forged({"a": A, "b": B}, length=500),
        forged(b"[" * 50_000),
        forged(b"\xff\xfe"),
        forged([]),
        forged({"a": A}),
        forged({"a": A, "b": B, "c": B}),
        forged({"a": A, "b": None}),
        forged({"a": A, "b": {"dtype": "U8", "shape": [5]}}),
        *(
            forged({"a": {**A, **change}, "b": B})
            for change in (
                {"dtype": "F32"},
                {"dtype": "BF16"},
                {"dtype": ["F16"]},
                {"shape": [2, 3]},
                {"shape": 6},
                {"shape": [3, 2, 1]},
                {"data_offsets": [0, 11]},
                {"data_offsets": [-12, 0]},
                {"data_offsets": [-17, -5]},
                {"data_offsets": [6, 18]},
                {"data_offsets": [2**70, 2**70 + 12]},
                {"data_offsets": [12, 0]},
                {"data_offsets": [0.0, 12.0]},
                {"data_offsets": [0]},
                {"data_offsets": None},
            )
        ),
    ],
)
def test_a_strangers_header_is_not_believed(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"x is not a view of this label set .*delete the folder"):
        from_bytes(tmp_path / "x", content)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch(), lambda path: path.mkdir()])
def test_what_is_no_file_is_named(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "x")
    with pytest.raises(UserError, match=r"x is (missing|damaged).*`dvc repro`"):
        mapped(tmp_path / "x", LAYOUT, "0" * 64)
