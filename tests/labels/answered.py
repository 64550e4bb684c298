"""Files of answers, as users write them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.data.origins import Origins, read_origins
from pipeline.labels.columns import read_columns

WHERE = "file.npz (teacher.answers.file of params.yaml)"


def small(**changes: Any) -> dict[str, Any]:
    """Answers to the seven images of `origins`, two classes; a change of None leaves a column out."""
    logits_RC = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    whole = {"number": np.arange(7), "logits": logits_RC, "classes": np.array(["cat", "dog"])} | changes
    return {key: value for key, value in whole.items() if value is not None}


def origins(paths: bool = False) -> Origins:
    """Of a source of eight images, of which number 7 was not prepared."""
    rows = {"train": np.array([6, 0, 2]), "validation": np.array([1, 3]), "test": np.array([4, 5])}
    return Origins(rows, 8, tuple(f"cat/{number}.png" for number in range(8)) if paths else None)


def npz(path: Path, content: Mapping[str, Any]) -> Path:
    """Write them by numpy."""
    np.savez(path, **content)
    return path


def parquet(path: Path, content: Mapping[str, Any]) -> Path:
    """Write them by pyarrow, which is not always there."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = {key: value for key, value in content.items() if key not in ("classes", "view_spec")}
    table = pa.table({key: [*value] if value.ndim > 1 else value for key, value in rows.items()})
    beside = {"classes": json.dumps(content["classes"].tolist())} if "classes" in content else {}
    beside |= {"view_spec": str(content["view_spec"])} if "view_spec" in content else {}
    pq.write_table(table.replace_schema_metadata(beside), path)
    return path


def refused(path: Path) -> str:
    """What is said of a file that cannot be read."""
    with pytest.raises(UserError) as raised:
        read_columns(path, WHERE)
    return str(raised.value)


def of_node(labels: Any, predictions: Mapping[str, Any], views: int) -> dict[str, Any]:
    """What a node of the current folder has answered: its label set and predictions, as a file of views 0 .. V."""
    found = read_origins(DATA, prepared.read(DATA).hash)
    number, view, logits = [], [], []
    for v in range(views + 1):
        number.append(found.rows["train"])
        view.append(np.full(len(found.rows["train"]), v))
        logits.append(labels.view(v).numpy())
    for split, z_NC in predictions.items():
        number.append(found.rows[split])
        view.append(np.zeros(len(z_NC), np.int64))
        logits.append(z_NC.numpy())
    return {"number": np.concatenate(number), "view": np.concatenate(view), "logits": np.concatenate(logits)}
