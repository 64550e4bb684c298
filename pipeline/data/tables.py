"""Images in the rows of tables, as Parquet and the Arrow files of Hugging Face's data sets hold them.

An image is the bytes of an image file, or a record with these under `bytes`. An image whose label is null, empty or -1
has none, and so has each one of a file whose name begins with `unlabelled`. pyarrow reads them, an extra of pip.

Legend: N rows of all files.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from pipeline.base.errors import UserError
from pipeline.config.section import unknown
from pipeline.data.decode import NotDecoded
from pipeline.data.holders import Holders
from pipeline.data.images import Source
from pipeline.data.names import NO_LABEL, SplitName, given_label, nfc, numbered, some

EXTRA = "parquet"  # of pip
HELD = 3  # row groups in memory at a time
LARGEST = 2**31  # bytes of the images of one row group


class ImageTable(Protocol):
    """One file: `count` rows, whose images are read by their numbers, and other columns whole."""

    count: int
    columns: Sequence[str]
    features: dict[str, Any]

    def image(self, column: str, row: int) -> Any: ...
    def whole(self, column: str) -> list[Any]: ...


class ParquetTable:
    """A Parquet file, of which a few row groups lie in memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

        self._file = pq.ParquetFile(path)
        self._path = path
        metadata = self._file.metadata
        self._starts = [0, *accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))]
        self.count = metadata.num_rows
        self.columns = self._file.schema_arrow.names
        self.features = _features(self._file.schema_arrow)
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()

    def image(self, column: str, row: int) -> Any:
        """What a row holds in a column; rows are best asked for in their order."""
        group = bisect_right(self._starts, row) - 1
        with self._lock:
            if group not in self._held:
                self._check_size(group)
                self._held[group] = self._file.read_row_group(group, columns=[column]).column(column)
                if len(self._held) > HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(group)
            values = self._held[group]
        return values[row - self._starts[group]].as_py()

    def whole(self, column: str) -> list[Any]:
        """A column, which is small."""
        return self._file.read(columns=[column]).column(column).to_pylist()

    def _check_size(self, group: int) -> None:
        if (size := self._file.metadata.row_group(group).total_byte_size) > LARGEST:
            raise UserError(
                f"{self._path} has a row group of {size:,} bytes, and {LARGEST:,} are the most that are read at once: "
                "write it anew with smaller ones (row_group_size=100)"
            )


class ArrowTable:
    """A file in Arrow's stream format, mapped into memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # pyright: ignore[reportMissingImports]

        self._table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        self.count = self._table.num_rows
        self.columns = self._table.column_names
        self.features = _features(self._table.schema)

    def image(self, column: str, row: int) -> Any:
        """What a row holds in a column."""
        return self._table.column(column)[row].as_py()

    def whole(self, column: str) -> list[Any]:
        """A column, which is small."""
        return self._table.column(column).to_pylist()


class TableFiles:
    """The images of tables, one table after the other: see `pipeline.data.images.Files`."""

    def __init__(self, holders: Holders, tables: Sequence[ImageTable], column: str) -> None:
        self._tables = tables
        self._column = column
        self._stamps = holders.stamps
        self._starts = [0, *accumulate(table.count for table in tables)]
        self.names = tuple(
            f"{name}#{row}" for name, table in zip(holders.names, tables, strict=True) for row in range(table.count)
        )

    def read(self, row: int) -> bytes:
        """The image file that a row holds."""
        at = bisect_right(self._starts, row) - 1
        try:
            value = self._tables[at].image(self._column, row - self._starts[at])
        except (UserError, MemoryError):
            raise
        except Exception as error:  # Arrow raises whatever the damage led it to
            raise NotDecoded(_short(error)) from None
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise NotDecoded("the row holds no bytes of an image")
        return content

    def stamp(self, row: int) -> tuple[int, int]:
        """Size and time of the file with the row."""
        return self._stamps[bisect_right(self._starts, row) - 1]


def load_tables(kind: str, holders: Holders, image: str, label: str, group: str | None) -> Source:
    """The images of all tables, which are ParquetTable or ArrowTable by `kind`; image, label, group: columns.

    Raises:
        UserError: pyarrow is not installed, a file is damaged, or a column or a label is missing.
    """
    tables = [_opened(kind, holders.root / name) for name in holders.names]
    wanted = [image, label, *([group] if group else [])]
    for name, table in zip(holders.names, tables, strict=True):
        for key, column in zip(("image_column", "label_column", "group_column"), wanted, strict=False):
            if column not in table.columns and not (key == "label_column" and name in holders.unlabelled):
                why = unknown("column", column, table.columns)
                raise UserError(f"params.yaml: data.{key}: {holders.root / name}: {why}")
    labels, classes = _labels(holders, tables, label)
    splits: list[SplitName] | None = holders.splits and [
        split for split, table in zip(holders.splits, tables, strict=True) for _ in range(table.count)
    ]
    groups = group and [
        None if value is None else nfc(str(value))
        for table in tables
        for value in _column(holders, tables, table, group)
    ]
    others = sorted({column for table in tables for column in table.columns} - {*wanted})
    said = [*holders.left_out.sentences(), *([f"columns that are not read: {some(others)}"] if others else [])]
    return Source(TableFiles(holders, tables, image), labels, classes, splits or None, groups or None, said)


def _opened(kind: str, path: Path) -> ImageTable:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]  # noqa: F401
    except ImportError:
        raise UserError(
            f"{path} is read by pyarrow, which is not installed: install it with `pip install -e '.[{EXTRA}]'`"
        ) from None
    try:
        return ParquetTable(path) if kind == "parquet" else ArrowTable(path)
    except Exception as error:  # Arrow raises whatever the damage led it to
        raise UserError(f"{path} is no whole file of the kind {kind} ({_short(error)}): write it anew") from None


def _labels(holders: Holders, tables: Sequence[ImageTable], column: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions of all rows in the names of classes, which Hugging Face's metadata may give to whole numbers."""
    values: list[Any] = []
    named: set[tuple[str, ...]] = set()
    for name, table in zip(holders.names, tables, strict=True):
        if name in holders.unlabelled:
            values += [None] * table.count
        else:
            values += map(given_label, _column(holders, tables, table, column))
            named.add(tuple(table.features.get(column, {}).get("names") or ()))
    for row, value in enumerate(values):
        if not isinstance(value, str | int | None) or isinstance(value, bool):
            raise UserError(
                f"{holders.root}: row {row} has the {column} {value!r}: it must be a string or a whole number, or null "
                "where the image has none"
            )
    known = {value for value in values if value is not None}
    if not named <= {()} and all(isinstance(value, int) for value in known):
        if len(named) > 1:
            raise UserError(f"{holders.root}: its files name the classes of {column} differently: write them anew")
        (classes,) = named
        if strange := [value for value in sorted(known) if not 0 <= value < len(classes)]:
            raise UserError(f"{holders.root}: {column} is {strange[-1]}, and its metadata name {len(classes)} classes")
        positions = [NO_LABEL if value is None else value for value in values]
        return np.array(positions, dtype=np.int64), tuple(nfc(str(name)) for name in classes)
    positions, order = numbered([None if value is None else nfc(str(value)) for value in values])
    return np.array(positions, dtype=np.int64), tuple(order)


def _column(holders: Holders, tables: Sequence[ImageTable], table: ImageTable, column: str) -> list[Any]:
    try:
        return table.whole(column)
    except Exception as error:  # as above
        path = holders.root / holders.names[[*tables].index(table)]
        raise UserError(f"{path}: its column {column} cannot be read ({_short(error)}): write it anew") from None


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's metadata say of each column."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: value for name, value in found.items() if isinstance(value, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
