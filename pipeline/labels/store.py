"""The soft-label store: a teacher's logits of each view of each training sample.

A folder: `view_000.safetensors` (the clean images) .. `view_V`, row = position in the training split, of low-rank
labels `basis.safetensors`, and `labels.json`, which binds them to teacher, data, views and classes. The header is
written last, so that a folder that has one is complete.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.base.files import digest, read_json, sha256, verify, write_json
from pipeline.labels.basis import Basis
from pipeline.labels.format import decode
from pipeline.labels.kept_basis import read_basis
from pipeline.labels.layout import BASIS, HEADER, Format, layout
from pipeline.labels.mapped import mapped, remedy

SCHEMA = 1
AT_ONCE = 4096  # rows that are in memory together where all of a view are gone through


@dataclass(frozen=True)
class LabelsHeader:
    """What a label set belongs to.

    Attributes:
        teacher: Name of the node that gave the logits.
        teacher_hash: Content hash of what gave them: weights, or the labels that an ensemble combined.
        data_hash: Content hash of the prepared data.
        view_spec: What `pipeline.data.views.describe` gives of the stream.
        classes: Names, in the order of the logits.
        count: Samples, N.
        views: Views beside the clean one, V: there are V + 1 files.
        format: What is kept of a row.
        input: What the network was fed (`config.input`); None where that is what the data has.
    """

    teacher: str
    teacher_hash: str
    data_hash: str
    view_spec: dict[str, Any]
    classes: tuple[str, ...]
    count: int
    views: int
    format: Format
    input: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As the file has it: an input only where there is one."""
        found = asdict(self) | {"format": self.format.as_json()}
        if self.input is None:
            del found["input"]
        return found


@dataclass(frozen=True, eq=False)
class Labels:
    """An open label set. hash: content hash, header and all views."""

    folder: Path
    header: LabelsHeader
    hash: str
    _hashes: tuple[str, ...]
    _basis_hash: str = ""
    _opened: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def views(self) -> int:
        """Views beside the clean one, V."""
        return self.header.views

    def rows(self, v: int, rows_B: np.ndarray | Tensor) -> Tensor:
        """Logits of some samples in view `v` (0 is the clean image): float32 (B, C), in memory of their own.

        Raises `UserError` for a view that is not there, or, when it is first asked for, damaged.
        """
        rows = rows_B.cpu().numpy() if isinstance(rows_B, Tensor) else rows_B
        return decode(self._arrays(v), rows, len(self.header.classes), self._basis)

    def view(self, v: int) -> Tensor:
        """Logits of all samples in view `v`: float32 (N, C); see `rows`."""
        whole_NC = torch.empty(self.header.count, len(self.header.classes))
        for z_BC, part_BC in zip(whole_NC.split(AT_ONCE), self.pieces(v), strict=True):
            z_BC.copy_(part_BC)
        return whole_NC

    def pieces(self, v: int) -> Iterator[Tensor]:
        """Logits of all samples in view `v`, `AT_ONCE` after the other: float32 (B, C); see `rows`."""
        for start in range(0, self.header.count, AT_ONCE):
            yield self.rows(v, np.arange(start, min(start + AT_ONCE, self.header.count)))

    @cached_property
    def _basis(self) -> Basis | None:
        return read_basis(self.folder, self.header.format, len(self.header.classes), self._basis_hash)

    def _arrays(self, v: int) -> dict[str, np.ndarray]:
        if v not in self._opened:
            self._opened[v] = self._open(v)
        return self._opened[v]

    def _open(self, v: int) -> dict[str, np.ndarray]:
        header = self.header
        if not 0 <= v <= header.views:
            raise UserError(
                f"view {v} of {self.folder} was asked for, which holds 0 to {header.views}: "
                "raise labels.views in params.yaml"
            )
        path = view_path(self.folder, v)
        arrays = mapped(path, layout(header.format, header.count, len(header.classes)), self._hashes[v])
        if "indices" in arrays and arrays["indices"].max() >= len(header.classes):
            raise UserError(f"{path} names classes that are not there: {remedy(self.folder)}")
        for name, array in arrays.items():
            # Of the extremes, where one that is not finite is seen: no array of bools as large as the labels.
            if array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
                row = int(np.argwhere(~np.isfinite(array))[0, 0])
                raise UserError(f"{path} has {name} of row {row} that are not finite: {remedy(self.folder)}")
        return arrays


def view_path(folder: Path, v: int) -> Path:
    """The file of view `v`."""
    return folder / f"view_{v:03}.safetensors"


def check_finite(finite_B: Tensor, v: int, teacher: str, rows_B: Sequence[int] | np.ndarray) -> None:
    """Raise `UserError` where a row is not finite: bools on the host, of the rows of these numbers."""
    if not finite_B.all():
        raise UserError(
            f"{teacher} gives row {rows_B[int((~finite_B).nonzero()[0])]} of view {v} a logit that is not finite: "
            "its weights are broken, train it with a lower recipe.lr or set recipe.clip"
        )


def stored(encoded: Mapping[str, Tensor], format: Format, classes: int) -> dict[str, np.ndarray]:
    """What `encode` made, on the host by now, in the types of the file."""
    rows = len(next(iter(encoded.values())))
    types = {name: dtype for name, (dtype, _) in layout(format, rows, classes).items()}
    return {name: tensor.numpy().astype(types[name], copy=False) for name, tensor in encoded.items()}


def write_header(folder: Path, header: LabelsHeader, files: Sequence[tuple[int, str]] | None = None) -> str:
    """Complete a folder that holds all views; return the content hash of the label set.

    files: length and SHA-256 of each view's file, where they are known; else they are read.
    """
    known = files or [_measured(view_path(folder, v)) for v in range(header.views + 1)]
    value = {"schema": SCHEMA, **header.as_json(), "files": [_listed(*each) for each in known]}
    if header.format.rank is not None:
        value["basis"] = _listed(*_measured(folder / BASIS))
    write_json(folder / HEADER, value)
    return digest(value)


def open_labels(
    folder: Path, *, recorded: str, data_hash: str, views: dict[str, Any], classes: Iterable[str]
) -> Labels:
    """Open the label set in `folder`, which must be the recorded one, of this data, these views and these classes.

    recorded: the content hash that `write_header` returned. views: as of `pipeline.data.views.describe`.
    Files are compared with their recorded lengths here, and with their SHA-256 when a view is first asked for,
    so that none is used unseen. Any mismatch or damage is a `UserError` that names it.
    """
    path = folder / HEADER
    value = read_json(path)
    header = _parse(path, value)
    verify(path, recorded, remedy(folder), found=digest(value))
    if header.data_hash != data_hash:
        there, here = header.data_hash[:12], data_hash[:12]
        raise UserError(f"{folder} labels other data (hash {there}, here {here}): {remedy(folder)}")
    for key in sorted(views.keys() | header.view_spec.keys()):
        there, here = header.view_spec.get(key), views.get(key)
        if there != here:
            raise UserError(f"{folder} labels other views ({key} is {there!r}, here {here!r}): {remedy(folder)}")
    if header.classes != (here := tuple(classes)):
        raise UserError(f"{folder} has other classes ({_difference(header.classes, here)}): {remedy(folder)}")
    for v, file in enumerate(value["files"]):
        _check_length(view_path(folder, v), file["bytes"])
    basis = value.get("basis")
    if basis:
        _check_length(folder / BASIS, basis["bytes"])
    hashes = tuple(file["sha256"] for file in value["files"])
    return Labels(folder, header, digest(value), hashes, basis["sha256"] if basis else "")


def _measured(path: Path) -> tuple[int, str]:
    return path.stat().st_size, sha256(path)


def _listed(length: int, seal: str) -> dict[str, Any]:
    return {"bytes": length, "sha256": seal}


def _parse(path: Path, value: Any) -> LabelsHeader:
    """The header, after every key was checked: the file may come from a stranger."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        found = value.get("schema") if isinstance(value, dict) else None
        raise UserError(
            f"{path} is of schema {found!r} and this version reads schema {SCHEMA}: run `dvc repro` to make it anew"
        )
    for key, valid in _checks(value).items():
        if not valid:
            raise UserError(f"{path} has no valid {key}: {remedy(path.parent)}")
    content = {key: item for key, item in value.items() if key not in ("schema", "files", "basis")}
    try:
        format = Format(**content.pop("format"))
        return LabelsHeader(**content | {"classes": tuple(content["classes"]), "format": format})
    except TypeError as error:
        raise UserError(f"{path} has wrong keys ({error}): {remedy(path.parent)}") from None


def _checks(value: dict[str, Any]) -> dict[str, bool]:
    """Which keys of a header are of the right type and agree with each other."""
    count, views, classes, files = (value.get(key) for key in ("count", "views", "classes", "files"))
    spec = value.get("view_spec")
    return {
        **{key: isinstance(value.get(key), str) for key in ("teacher", "teacher_hash", "data_hash")},
        "classes": isinstance(classes, list) and {str} == {type(name) for name in classes},
        "count": type(count) is int and count > 0,
        "views": type(views) is int and views >= 0,
        "view_spec": isinstance(spec, dict) and spec.get("count") == count,
        "files": isinstance(files, list) and views == len(files) - 1 and all(map(_is_file, files)),
        "format": isinstance(classes, list) and _is_format(value.get("format"), len(classes)),
        "input": isinstance(value.get("input"), dict | None),
        "basis": _is_file(value.get("basis")) if _has_rank(value.get("format")) else "basis" not in value,
    }


def _has_rank(format: Any) -> bool:
    return isinstance(format, dict) and format.get("kind") == "lowrank"


def _is_file(file: Any) -> bool:
    return (
        isinstance(file, dict)
        and type(file.get("bytes")) is int
        and re.fullmatch("[0-9a-f]{64}", str(file.get("sha256"))) is not None
    )


def _is_format(format: Any, classes: int) -> bool:
    if not isinstance(format, dict) or format.get("dtype") not in ("float32", "float16"):
        return False
    kind, k, rank = (format.get(key) for key in ("kind", "k", "rank"))
    if kind == "dense":
        return k is None and rank is None
    if kind not in ("topk", "lowrank") or not (type(k) is int and 0 < k < classes):
        return False
    return rank is None if kind == "topk" else type(rank) is int and 0 < rank < classes


def _check_length(path: Path, expected: int) -> None:
    try:
        length = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {remedy(path.parent)}") from None
    if length != expected:
        raise UserError(f"{path} has {length} bytes and not {expected}: {remedy(path.parent)}")


def _difference(there: tuple[str, ...], here: tuple[str, ...]) -> str:
    if len(there) != len(here):
        return f"{len(there)} of them, here {len(here)}"
    number = next(i for i, (old, new) in enumerate(zip(there, here, strict=True)) if old != new)
    return f"number {number} is {there[number]!r}, here {here[number]!r}"
