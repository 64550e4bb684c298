"""Images in the rows of Parquet files and of Hugging Face's data sets, each written by pyarrow as their tools do."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data import tables
from pipeline.data.images import Files, Source
from pipeline.data.prepare import load, prepare
from pipeline.data.prepared import SPLITS, read
from tests.data.folders import picture

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["cat", "dog"]
CLASSES = {"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}, "image": {"_type": "Image"}}}}
KINDS = ["parquet", "huggingface"]


def png(seed: int) -> tuple[bytes, bytes]:
    """A file, and its pixels as bytes (C, H, W)."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue(), values.transpose(2, 0, 1).tobytes()


def table(rows: range, *, named: bool = True, **columns: Any) -> Any:
    """Rows as Hugging Face has them: an image is a record of bytes and path."""
    found = {
        "image": [{"bytes": png(row)[0], "path": f"{row}.png"} for row in rows],
        "label": [row % 2 for row in rows],
        **columns,
    }
    made = pa.table(found)
    return made.replace_schema_metadata({b"huggingface": json.dumps(CLASSES).encode()}) if named else made


def write(kind: str, root: Path, splits: dict[str, Any]) -> Path:
    """The files of a data set: name of the split -> its table."""
    for split, made in splits.items():
        if kind == "parquet":
            (root / "data").mkdir(parents=True, exist_ok=True)
            pq.write_table(made, root / "data" / f"{split}-00000-of-00001.parquet", row_group_size=4)
        else:
            (root / split).mkdir(parents=True)
            path = root / split / "data-00000-of-00001.arrow"
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, made.schema) as stream:
                stream.write_table(made, max_chunksize=4)
            (root / split / "state.json").write_text("{}")
            (root / split / "cache-1.arrow").write_bytes(b"x")
    return root


def loaded(kind: str, root: Path, **keys: Any) -> Source:
    return load(Data.model_validate({"source": kind, **keys}), root)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_splits_and_names_of_classes(tmp_path: Path, kind: str) -> None:
    root = write(
        kind, tmp_path, {"train": table(range(12)), "validation": table(range(12, 16)), "test": table(range(20, 26))}
    )
    source = loaded(kind, root)
    assert source.classes == ("cat", "dog")
    assert source.splits == ["train"] * 12 + ["validation"] * 4 + ["test"] * 6
    assert source.labels.tolist() == [0, 1] * 11
    assert isinstance(source.images, Files)
    assert [source.images.read(row) for row in range(22)] == [png(row)[0] for row in [*range(16), *range(20, 26)]]
    assert source.images.names[13].endswith("#1") and "validation" in source.images.names[13]
    prepare(Data(source=kind), root, 0, tmp_path / "out")
    found = read(tmp_path / "out")
    images = [image.tobytes() for split in SPLITS for image in getattr(found, split).images]
    assert sorted(images) == sorted(png(row)[1] for row in [*range(16), *range(20, 26)])
    assert [image.tobytes() for image in found.test.images] == [png(row)[1] for row in range(20, 26)]


@pytest.mark.parametrize("kind", KINDS)
def test_plan_needs_no_pyarrow_and_sees_another_file(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(kind, tmp_path, {"train": table(range(6))})
    files = Data.point.helper(kind, "files")
    assert files is not None
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    first = files(root)
    assert first["count"] == 1
    with pytest.raises(UserError, match=r"is read by pyarrow, which is not installed: install it with `pip install"):
        loaded(kind, root)
    (path,) = (path for path in root.rglob("*") if path.suffix in (".parquet", ".arrow") and "cache" not in path.name)
    path.write_bytes(path.read_bytes() + b"x")
    assert files(root) != first


def test_names_that_no_metadata_give(tmp_path: Path) -> None:
    root = write("parquet", tmp_path / "a", {"some": table(range(12), named=False)})
    assert loaded("parquet", root).classes == ("0", "1") and loaded("parquet", root).splits is None
    made = table(range(12), named=False, label=["dog", "ant"] * 6, scene=[f"s{row // 2}" for row in range(12)])
    root = write("parquet", tmp_path / "b", {"some": made})
    source = loaded("parquet", root, group_column="scene")
    assert source.classes == ("ant", "dog") and source.labels.tolist() == [1, 0] * 6
    assert source.groups == [f"s{row // 2}" for row in range(12)]
    assert "columns that are not read: scene" in loaded("parquet", root).left_out


def test_bytes_without_a_record(tmp_path: Path) -> None:
    made = pa.table({"jpg": [png(row)[0] for row in range(6)], "y": [row % 2 for row in range(6)]})
    source = loaded("parquet", write("parquet", tmp_path, {"all": made}), image_column="jpg", label_column="y")
    assert isinstance(source.images, Files) and source.images.read(5) == png(5)[0]


def test_rows_without_bytes_are_among_those_that_cannot_be_read(tmp_path: Path) -> None:
    images = [{"bytes": png(row)[0] if row else None, "path": "x.png"} for row in range(12)]
    root = write("parquet", tmp_path, {"all": table(range(12), image=images)})
    with pytest.raises(UserError, match=r"all-00000-of-00001.parquet#0 \(the row holds no bytes of an image\)"):
        prepare(Data(source="parquet"), root, 0, tmp_path / "out")


def test_a_few_row_groups_lie_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write("parquet", tmp_path, {"all": table(range(40))})
    source = loaded("parquet", root)
    groups = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, group, columns: groups.append(group) or whole(self, group, columns),
    )
    assert isinstance(source.images, Files)
    for row in range(40):
        source.images.read(row)
    assert groups == [*range(10)], "each is read once"
    monkeypatch.setattr(tables, "LARGEST", 10)
    with pytest.raises(UserError, match=r"has a row group of [\d,]+ bytes, and 10 are the most that are read at once"):
        source.images.read(0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("none", [-1, None])
def test_a_label_that_is_null_or_minus_one_is_none(tmp_path: Path, kind: str, named: bool, none: int | None) -> None:
    root = write(kind, tmp_path, {"all": table(range(6), named=named, label=[0, none, 1, none, 0, 1])})
    source = loaded(kind, root)
    assert source.classes == (("cat", "dog") if named else ("0", "1"))
    assert source.labels.tolist() == [0, -1, 1, -1, 0, 1]


def test_a_label_of_text_that_is_null_empty_or_minus_one_is_none(tmp_path: Path) -> None:
    made = table(range(6), named=False, label=["dog", None, "", "-1", "ant", "dog"])
    source = loaded("parquet", write("parquet", tmp_path, {"all": made}))
    assert (source.classes, source.labels.tolist()) == (("ant", "dog"), [1, -1, -1, -1, 0, 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled"])
@pytest.mark.parametrize("splits", [True, False])
def test_a_file_called_unlabelled_trains_without_labels(tmp_path: Path, kind: str, name: str, splits: bool) -> None:
    """Whatever its label column holds, or without one."""
    bare = table(range(12, 18), named=False)
    known = {"train": table(range(6)), "test": table(range(6, 12))} if splits else {"all": table(range(12))}
    for number, each in enumerate((bare, bare.drop_columns(["label"]))):
        source = loaded(kind, write(kind, tmp_path / str(number), {**known, name: each}))
        assert source.classes == ("cat", "dog")
        assert sorted(source.labels.tolist()) == [-1] * 6 + [0] * 6 + [1] * 6
        assert isinstance(source.images, Files)
        unlabelled = [each for each, label in zip(source.images.names, source.labels, strict=True) if label < 0]
        assert len(unlabelled) == 6 and all(name in each for each in unlabelled)
        assert source.splits == (["train"] * 12 + ["test"] * 6 if splits else None)
    with pytest.raises(UserError, match=r"data.image_column: .*: unknown column 'image'"):
        loaded(kind, write(kind, tmp_path / "none", {**known, name: bare.drop_columns(["image"])}))


@pytest.mark.parametrize(
    ("made", "keys", "sentence"),
    [
        (lambda: table(range(6), label=[0, 1, 2, 0, 1, 0]), {}, r"label is 2, and its metadata name 2 classes"),
        (lambda: table(range(6), label=[0, 1, -2, 0, 1, 0]), {}, r"label is -2, and its metadata name 2 classes"),
        # What pandas makes of whole numbers of which some are missing.
        (lambda: table(range(6), label=[0.0, None] * 3), {}, r"row 0 has the label 0.0: it must be .*, or null where"),
        (
            lambda: table(range(6)),
            {"label_column": "labl"},
            r"data.label_column: .* unknown column 'labl', did you mean",
        ),
        (lambda: table(range(6)), {"image_column": "pixels"}, r"data.image_column: .* unknown column 'pixels'"),
        (lambda: table(range(6)), {"group_column": "scene"}, r"data.group_column: .* unknown column 'scene'"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, made: Any, keys: dict[str, str], sentence: str) -> None:
    root = write("parquet", tmp_path, {"all": made()})
    with pytest.raises(UserError, match=sentence):
        loaded("parquet", root, **keys)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_missing_and_of_no_split(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"holds no \*.parquet" if kind == "parquet" else r"holds no data-\*.arrow"):
        loaded(kind, tmp_path)
    root = write(kind, tmp_path / "a", {"train": table(range(6)), "more": table(range(6, 9))})
    with pytest.raises(UserError, match=r"is of no split by its name, and others are of train"):
        loaded(kind, root)
    root = write(kind, tmp_path / "b", {"train": table(range(6))})
    (path,) = (path for path in root.rglob("*0000*") if path.is_file())
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"is no whole file of the kind"):
        loaded(kind, root)


def test_what_lies_beside_is_named(tmp_path: Path) -> None:
    root = write("huggingface", tmp_path, {"train": table(range(6))})
    picture(root / "stray.png")
    said = loaded("huggingface", root).left_out
    assert said == ["left out 3 (it is no data-*.arrow): stray.png, train/cache-1.arrow, train/state.json"]
