"""The columns of a file of answers, as `pipeline.labels.answers` describes them: read and typed, matched with nothing.

Values are not read but mapped: from the file itself, where they lie in it as they are; else they are unpacked into a
file without a name in the folder of temporary files, which is gone with the process.

Legend: R rows, C classes.
"""

import difflib
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from pipeline.base.errors import UserError

KEYS = ("path", "number", "view", "logits", "probabilities", "classes", "view_spec")
VALUES = ("logits", "probabilities")
AT_ONCE = 1 << 20  # bytes, and no more than so many rows of a Parquet file
ROWS = 4096
BESIDE = ("classes", "view_spec")  # of Parquet: in the metadata of its schema
EXTRA = "parquet"  # of pip: what reads such a file


@dataclass(frozen=True, eq=False)
class Columns:
    """What the file holds.

    Attributes:
        path, number: Which image, by one of the two; paths as text, numbers int64 (R,).
        view: int64 (R,), or None.
        values: Floats (R, C), which are of the `kind`; mapped.
        classes: In the order of the values, or None.
        view_spec: Text, or None.
    """

    path: list[str] | None
    number: np.ndarray | None
    view: np.ndarray | None
    values: np.ndarray
    kind: Literal["logits", "probabilities"]
    classes: tuple[str, ...] | None
    view_spec: str | None

    def name(self, row: int) -> str:
        """A row, as the file names it."""
        image = repr(self.path[row]) if self.path is not None else str(int(self.number[row]))  # type: ignore[index]
        return image if self.view is None else f"{image} view {int(self.view[row])}"


def read_columns(path: Path, where: str) -> Columns:
    """Read a file of answers; `where` names it and its key in messages. Whatever is amiss is a `UserError`."""
    readers: dict[str, Callable[[Path, str], dict[str, Any]]] = {".npz": _npz, ".parquet": _parquet}
    if (reader := readers.get(path.suffix.lower())) is None:
        raise UserError(f"{where} is no file of answers: its name must end in {' or '.join(readers)}")
    return _checked(reader(path, where), where)


def _npz(path: Path, where: str) -> dict[str, Any]:
    try:
        # Opened here: numpy leaves open what it cannot read.
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            _check_keys([*arrays.files], where)
            found = {key: _values(path, arrays, key) if key in VALUES else arrays[key] for key in arrays.files}
        if strange := [key for key, array in found.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{strange[0]} is no array")
        return found
    except UserError:
        raise
    except Exception as error:  # zip and numpy raise whatever the damage led them to
        raise UserError(f"{where} is no whole .npz file of plain arrays ({_short(error)}): write it anew") from None


def _values(path: Path, arrays: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    """An array of an .npz file, mapped after all of its bytes went past the checksum.

    Raises:
        ValueError: It is no array, or one of objects, which numpy would unpickle.
    """
    assert arrays.zip is not None
    name = key if key in arrays.zip.namelist() else f"{key}.npy"
    member = arrays.zip.getinfo(name)
    if member.compress_type == zipfile.ZIP_STORED:
        with arrays.zip.open(member) as stream:
            while stream.read(AT_ONCE):
                pass
        with path.open("rb") as file:
            file.seek(member.header_offset + 26)
            lengths = file.read(4)  # of name and extra field, which stand between here and the member
            start = file.tell() + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            return _array(file, start, member.file_size)
    with arrays.zip.open(member) as stream, tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, AT_ONCE)
        return _array(file, 0, member.file_size)


def _array(file: BinaryIO, start: int, length: int) -> np.ndarray:
    """The array of an .npy file that lies within another, mapped."""
    file.seek(start)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its arrays are of version {version}")
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if file.tell() - start + math.prod(shape) * dtype.itemsize != length:
        raise ValueError(f"an array of {dtype} {shape} is said to be there, and its bytes are as many as of another")
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", file.tell(), shape, "F" if is_fortran else "C").view(np.ndarray)


def _parquet(path: Path, where: str) -> dict[str, Any]:
    try:
        import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            f"{where} is a Parquet file, which needs pyarrow: install it with `pip install -e '.[{EXTRA}]'`, "
            "or write an .npz file"
        ) from None
    try:
        with pq.ParquetFile(path, memory_map=True, buffer_size=AT_ONCE) as file:
            found = _arrays(file, where)
    except UserError:
        raise
    except Exception as error:  # as above
        raise UserError(
            f"{where} is no whole Parquet file of numbers and text ({_short(error)}): write it anew"
        ) from None
    if "classes" in found:
        try:
            found["classes"] = np.array(json.loads(found["classes"]), dtype=np.str_)
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{where} has classes in its metadata that are no JSON list of names: write one") from None
    return found


def _arrays(file: Any, where: str) -> dict[str, Any]:
    """The columns of a Parquet file, lists of equal lengths as the rows of one array, and what stands beside them."""
    schema = file.schema_arrow
    metadata = {key.decode(errors="replace"): value for key, value in (schema.metadata or {}).items()}
    found: dict[str, Any] = {key: metadata[key].decode(errors="replace") for key in BESIDE if key in metadata}
    _check_keys(schema.names, where)
    for name in schema.names:
        parts = (batch.column(0) for batch in file.iter_batches(ROWS, columns=[name]))
        found[name] = _joined(_arrays_of(parts, name, where), name, where)
    return found


def _arrays_of(parts: Iterable[Any], name: str, where: str) -> Iterator[np.ndarray]:
    """Arrays of the parts of a column, one after the other."""
    import pyarrow.types as types  # pyright: ignore[reportMissingImports]

    for part in parts:
        if part.null_count:
            raise UserError(f"{where} has rows without {name}: each row needs one")
        if types.is_fixed_size_list(part.type) or types.is_list(part.type) or types.is_large_list(part.type):
            lengths = np.unique(part.value_lengths().to_numpy(zero_copy_only=False))
            if len(lengths) > 1:
                raise UserError(_ragged(where, name, lengths[0], lengths[-1]))
            yield part.flatten().to_numpy(zero_copy_only=False).reshape(len(part), -1)
        else:
            values = part.to_numpy(zero_copy_only=False)
            yield values.astype(str) if values.dtype == object else values


def _joined(parts: Iterator[np.ndarray], name: str, where: str) -> np.ndarray:
    """One array of all parts, mapped where each row has several numbers."""
    first = next(parts, np.empty((0, 0)) if name in VALUES else np.empty(0, np.int64))
    if first.ndim == 1:
        return np.concatenate([first, *parts])
    count, width = len(first), first.size // max(len(first), 1)
    with tempfile.TemporaryFile() as file:
        file.write(np.ascontiguousarray(first).data)
        for part in parts:
            if part.size != len(part) * width:
                few, most = sorted((width, part.size // len(part)))
                raise UserError(_ragged(where, name, few, most))
            file.write(np.ascontiguousarray(part).data)
            count += len(part)
        file.flush()
        shape = (count, width)
        return np.memmap(file, first.dtype, "r", 0, shape).view(np.ndarray) if first.size else np.empty(shape)


def _ragged(where: str, name: str, few: int, most: int) -> str:
    return f"{where} has {name} of {few} and of {most} numbers: give as many a row"


def _check_keys(names: list[str], where: str) -> None:
    for name in names:
        if name not in KEYS:
            nearest = difflib.get_close_matches(name, KEYS, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"valid: {', '.join(KEYS)}"
            raise UserError(f"{where} holds {name!r}, {hint}")


def _checked(found: dict[str, Any], where: str) -> Columns:
    image, kind = (_one_of(found, each, where) for each in (("path", "number"), ("logits", "probabilities")))
    values = found[kind]
    if values.ndim != 2 or values.dtype.kind != "f":
        raise UserError(f"{where} has {kind} of {_type(values)}: they must be floats, a row an image, a column a class")
    columns = {
        "path": _typed(found, "path", "U", "text", 1, where),
        "number": _typed(found, "number", "iu", "whole numbers", 1, where),
        "view": _typed(found, "view", "iu", "whole numbers", 1, where),
        "classes": _typed(found, "classes", "U", "text", 1, where),
    }
    for name in (image, "view"):
        if (column := columns[name]) is not None and len(column) != len(values):
            raise UserError(f"{where} has {len(column):,} of {name} and {len(values):,} of {kind}: give as many")
    said = found.get("view_spec")
    if isinstance(said, np.ndarray):
        said = str(said) if said.ndim == 0 and said.dtype.kind == "U" else ""
    path, number, view, classes = (columns[name] for name in ("path", "number", "view", "classes"))
    return Columns(
        path=None if path is None else path.tolist(),
        number=None if number is None else number.astype(np.int64),
        view=None if view is None else view.astype(np.int64),
        values=values,
        kind="logits" if kind == "logits" else "probabilities",
        classes=None if classes is None else tuple(classes.tolist()),
        view_spec=said,
    )


def _one_of(found: dict[str, Any], names: tuple[str, str], where: str) -> str:
    given = [name for name in names if name in found]
    if len(given) != 1:
        raise UserError(
            f"{where} has {' and '.join(given) or 'none'} of {' and '.join(names)}: give exactly one of them"
        )
    return given[0]


def _typed(found: dict[str, Any], name: str, kinds: str, words: str, axes: int, where: str) -> np.ndarray | None:
    if name not in found:
        return None
    array = found[name]
    if array.ndim != axes or array.dtype.kind not in kinds:
        raise UserError(f"{where} has {name} of {_type(array)}: they must be {words} in one row")
    return array


def _type(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
