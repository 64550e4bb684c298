"""Arrays of a safetensors file in place: mapped, not read, after everything about the file was checked.

And how such a file begins, for whoever writes its arrays a piece at a time.

The file may come from a stranger: nothing in it is believed before it is compared with what was expected.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from pipeline.base.errors import UserError
from pipeline.base.files import verify

NAMES = {"F32": "float32", "F16": "float16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32"}
HEADER_LIMIT = 2**16  # bytes; ours have a few hundred

ArrayLayout = Mapping[str, tuple[np.dtype, tuple[int, ...]]]


def mapped(path: Path, layout: ArrayLayout, sha256: str) -> dict[str, np.ndarray]:
    """Map the arrays of `path` read-only; they are exactly those of `layout`, name -> (type, shape).

    sha256: of the whole file, in hexadecimal; it is read once to compare. A missing, truncated or changed
    file, and a header that does not describe `layout` within the file, are a `UserError`.
    """
    try:
        raw = np.memmap(path, np.uint8, "r")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {remedy(path.parent)}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): {remedy(path.parent)}") from None
    verify(path, sha256, remedy(path.parent), found=hashlib.sha256(raw.data).hexdigest())
    try:
        return _arrays(raw.view(np.ndarray), layout)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a view of this label set ({error}): {remedy(path.parent)}") from None


def beginning(layout: ArrayLayout) -> tuple[bytes, list[str]]:
    """The bytes of a safetensors file up to its first array, and the order in which the arrays follow, without gaps.

    As safetensors writes them: the order is its own, by type and name, and the header is filled up to whole 8 bytes.
    """
    empty = save({name: np.empty(0, dtype) for name, (dtype, _) in layout.items()})
    entries = json.loads(empty[8 : 8 + int.from_bytes(empty[:8], "little")])
    at = 0
    for name, entry in entries.items():
        dtype, shape = layout[name]
        end = at + int(np.prod(shape, dtype=object)) * dtype.itemsize
        entry |= {"shape": [*shape], "data_offsets": [at, end]}
        at = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header, [*entries]


def remedy(folder: Path) -> str:
    """What to do about a damaged label set."""
    return f"delete the folder {folder} and run `dvc repro`"


def _arrays(raw: np.ndarray, layout: ArrayLayout) -> dict[str, np.ndarray]:
    """The arrays inside the bytes of a safetensors file: u64 length, JSON header, data.

    Raises one of the errors above where header or data are not as they should be.
    """
    length = int.from_bytes(raw[:8].tobytes(), "little")
    if length > min(HEADER_LIMIT, len(raw) - 8):
        raise ValueError(f"its header claims {length} bytes")
    header = json.loads(raw[8 : 8 + length].tobytes())
    data = raw[8 + length :]
    if header.keys() - {"__metadata__"} != layout.keys():
        raise ValueError(f"it holds {', '.join(sorted(header))} and not {', '.join(sorted(layout))}")
    return {name: _array(data, name, header[name], *expected) for name, expected in layout.items()}


def _array(data: np.ndarray, name: str, entry: dict, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if NAMES.get(entry["dtype"]) != dtype.name or tuple(entry["shape"]) != shape:
        raise ValueError(f"{name} is {entry['dtype']} {entry['shape']} and not {dtype} {list(shape)}")
    start, end = entry["data_offsets"]
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not (type(start) is type(end) is int and start >= 0 and end == start + size <= len(data)):
        raise ValueError(f"its header puts {name} at {start} to {end}")
    # The file is little-endian by its definition, whatever this machine is.
    return data[start:end].view(dtype.newbyteorder("<")).reshape(shape)
