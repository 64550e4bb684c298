"""Any tree of values, any bytes: a validated object or one sentence, never a traceback.

`HYPOTHESIS_EXAMPLES=5000 python -m pytest tests/test_fuzz.py` looks longer.
"""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.compression.onnx_file import read_onnx
from pipeline.config import params
from pipeline.config.data import Data
from pipeline.config.params import Params
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.data.views import augment, describe, draw
from pipeline.labels.answers import match
from pipeline.labels.columns import read_columns
from pipeline.labels.layout import Format
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.models.build import build
from pipeline.models.codebook import load_shared, save_shared
from pipeline.models.files import load_weights, save_weights
from pipeline.planning import build as plan
from pipeline.planning import graph
from pipeline.training.onnx_model import OnnxModel
from pipeline.training.state import State
from tests.labels.answered import npz, origins, small
from tests.labels.folders import opened, recorded, write
from tests.scratch import PARAMS, ROOT

GIVEN = yaml.safe_load(PARAMS.read_text())
STAGES = graph.read(ROOT / "dvc.yaml")
EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "40"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="HYPOTHESIS_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["teacher", "baseline", "residual", "plain", "sgd", "adamw", "live", "stored", "ensemble", "t1"])
    | st.dates()
)
keys = st.text("abcdefghijklmnopqrstuvwxyz_.$[]0", max_size=8) | st.integers() | st.none() | st.booleans()
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value within a tree of mappings and lists, inner ones too."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [before, *(path for key, each in inside for path in paths(each, (*before, key)))]
        if before
        else [path for key, each in inside for path in paths(each, (key,))]
    )


def replaced(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    whole = copy.deepcopy(whole)
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return whole


def one_sentence(error: UserError) -> None:
    assert str(error)
    assert "Traceback" not in str(error)


def planned(raw: Any, folder: Path) -> None:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True))
    try:
        read = params.read(path)
        assert isinstance(read, Params)
        plan.build(read, STAGES)
    except UserError as error:
        one_sentence(error)


@fuzzed
@given(raw=trees)
def test_any_tree_as_params(tmp_path: Path, raw: Any) -> None:
    planned(raw, tmp_path)


@fuzzed
@given(path=st.sampled_from(paths(GIVEN)), value=trees)
def test_any_tree_anywhere_in_params(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    # A folder that some source names is looked for: that is the next test's.
    planned(replaced(GIVEN, path, value), tmp_path)


@fuzzed
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_as_params(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError):
        params.read(tmp_path / "params.yaml")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FORMATS = {"dense": Format("dense", "float32"), "topk": Format("topk", "float16", 2)}
FORMATS["lowrank"] = Format("lowrank", "float16", 1, 2)


@pytest.mark.parametrize("kind", FORMATS)
@fuzzed
@given(data=st.data(), value=json_values)
def test_any_value_in_a_label_header(tmp_path: Path, kind: str, data: st.DataObject, value: Any) -> None:
    folder = tmp_path / kind
    if not folder.exists():
        write(folder, FORMATS[kind])
        shutil.copy(folder / "labels.json", tmp_path / f"{kind}.json")
    whole = json.loads((tmp_path / f"{kind}.json").read_text())
    changed = replaced(whole, data.draw(st.sampled_from(paths(whole))), value)
    (folder / "labels.json").write_text(json.dumps(changed))
    try:
        labels = opened(folder)
        for v in range(min(labels.views + 1, 5)):
            assert labels.view(v).isfinite().all()
    except UserError as error:
        one_sentence(error)


def flipped(content: bytes, data: st.DataObject) -> bytes:
    """The bytes cut off, lengthened, or with some of them replaced."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.sampled_from([len(changed)] * 3 + [0, 1, 8]) | st.integers(0, len(changed)))
    return bytes(changed[:length]) + data.draw(st.binary(max_size=4))


@pytest.mark.parametrize(("kind", "name"), [*((kind, "view_001") for kind in FORMATS), ("lowrank", "basis")])
@fuzzed
@given(data=st.data())
def test_any_bytes_as_a_label_view(tmp_path: Path, kind: str, name: str, data: st.DataObject) -> None:
    """Whose recorded hash is made to fit, as a stranger would."""
    folder = tmp_path / kind
    if not folder.exists():
        write(folder, FORMATS[kind])
        shutil.copytree(folder, tmp_path / f"{kind}.whole")
    path = folder / f"{name}.safetensors"
    content = flipped((tmp_path / f"{kind}.whole" / path.name).read_bytes(), data)
    path.write_bytes(content)
    header = files.read_json(tmp_path / f"{kind}.whole" / "labels.json")
    entry = header["basis"] if name == "basis" else header["files"][1]
    entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files.write_json(folder / "labels.json", header)
    try:
        assert opened(folder, recorded=recorded(folder)).view(1).isfinite().all()
    except UserError as error:
        one_sentence(error)


def read_weights(path: Path) -> None:
    load_weights(build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=3), path, "the weights")


def read_logits(path: Path) -> None:
    target = Path("artifacts/a/predictions/logits.safetensors")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
    read_predictions(Node("a", "trained", hashes={"predictions": files.sha256(target)}))


def read_data(path: Path) -> None:
    header = files.read_sealed(Path("data/data.json"))
    shutil.copy(path, "data/train.images.npy")
    header["files"]["train.images.npy"] = files.sha256(path)
    files.write_sealed(Path("data/data.json"), header)
    prepared.read(Path("data"))


def read_state(path: Path) -> None:
    shutil.copy(path, "state")
    State(Path()).progress()
    State(Path()).load(lambda sentence: None)


def read_answers(path: Path) -> None:
    shutil.copy(path, "given.npz")
    match(read_columns(Path("given.npz"), "given.npz"), origins(), ("cat", "dog"), 0, {}, "given.npz")


def read_onnx_teacher(path: Path) -> None:
    OnnxModel(path.read_bytes(), "given.onnx", gives="logits", threads=1)(torch.zeros(1, 1, 2, 2))


def whole_weights(path: Path) -> None:
    save_weights(build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=3), path)


def whole_shared(path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    save_shared({"a.weight": values, "a.bias": values[0]}, path, 3)


def whole_logits(path: Path) -> None:
    write_predictions(path.parent, {split: torch.zeros(3, 2) for split in ("validation", "test")})
    shutil.move(path.parent / "predictions" / "logits.safetensors", path)


def whole_onnx(path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    made = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path.write_bytes(helper.make_model(made).SerializeToString())


def whole_answers(path: Path) -> None:
    shutil.move(npz(path.with_suffix(".npz"), small()), path)


def whole_onnx_teacher(path: Path) -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["b", 1, 2, 2])
    z = helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["b", 4])
    made = helper.make_graph([helper.make_node("Flatten", ["x"], ["z"])], "g", [x], [z])
    opsets = [helper.make_opsetid("", 18)]
    path.write_bytes(helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString())


def whole_data(path: Path) -> None:
    prepare(Data(source="digits", per_class=2), Path(), 0, Path("data"))
    shutil.copy("data/train.images.npy", path)


def whole_state(path: Path) -> None:
    from safetensors.numpy import save

    facts = json.dumps({"epochs": 5, "position": {"epoch": 1}})
    State(path.parent).save(save({"a": np.zeros(3)}, {"facts": facts}))
    shutil.copy("state", path)


IMPORTED: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "weights": (whole_weights, read_weights),
    "codebook": (whole_shared, load_shared),
    "predictions": (whole_logits, read_logits),
    "onnx": (whole_onnx, read_onnx),
    "answers": (whole_answers, read_answers),
    "onnx teacher": (whole_onnx_teacher, read_onnx_teacher),
    "images": (whole_data, read_data),
    "state": (whole_state, read_state),
}


@pytest.mark.parametrize("kind", IMPORTED)
@fuzzed
@given(data=st.data())
def test_any_bytes_as_an_imported_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, data: st.DataObject
) -> None:
    monkeypatch.chdir(tmp_path)
    make, read = IMPORTED[kind]
    if not Path("whole").exists():
        make(tmp_path / "whole")
    (tmp_path / "given").write_bytes(flipped(Path("whole").read_bytes(), data))
    try:
        read(tmp_path / "given")
    except UserError as error:
        one_sentence(error)


@fuzzed
@given(data=st.data(), value=json_values)
def test_any_value_in_a_node_or_the_header_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject, value: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    if not Path("data").exists():
        prepare(Data(source="digits", per_class=2), Path(), 0, Path("data"))
        shutil.copy("data/data.json", "data.json")
        lineage = ({"teacher": "a", "read": "labels", "hash": "0" * 64},)
        hashes = {"weights": "0" * 64}
        whole = Node("b", "trained", ("weights",), "safetensors", {"family": "plain"}, lineage, (("b", 0.5),), hashes)
        with node.writing("b") as folder:
            node.write(folder, whole)
        shutil.copy("artifacts/b/node.json", "node.json")
    for kept, path, read in (
        ("data.json", Path("data/data.json"), lambda: prepared.read(Path("data"))),
        ("node.json", Path("artifacts/b/node.json"), lambda: node.read("b")),
    ):
        content = files.read_sealed(Path(kept))
        changed = replaced(content, data.draw(st.sampled_from(paths(content))), value)
        files.write_sealed(path, changed)
        try:
            read()
        except UserError as error:
            one_sentence(error)


@fuzzed
@given(
    shift=st.integers(0, 9),
    flip=st.booleans(),
    scale=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**63),
    v=st.integers(0, 2**31),
    count=st.integers(1, 9),
    size=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
)
def test_any_view_is_drawn_again_and_cut_to_finite_pixels(
    shift: int, flip: bool, scale: float, seed: int, v: int, count: int, size: int, channels: int
) -> None:
    views = Views(shift=shift, flip=flip, scale=scale)
    if shift >= size:
        with pytest.raises(UserError, match="set it below"):
            draw(views, seed, "labels", v, count, size)
        return
    images = torch.arange(count * channels * size * size).remainder(256).to(torch.uint8)
    images_BCHW = images.view(count, channels, size, size)
    mean_C, std_C = torch.full((channels,), 0.5), torch.full((channels,), 1e-3)
    rows_B = torch.arange(count).flip(0)
    one, other = (
        augment(images_BCHW[rows_B], draw(views, seed, "labels", v, count, size), rows_B, mean_C, std_C)
        for _ in range(2)
    )
    assert one.shape == images_BCHW.shape
    assert one.isfinite().all()
    assert torch.equal(one, other)
    # A larger set begins with the same views: what a sample sees depends on its row alone.
    more = draw(views, seed, "labels", v, count + 3, size)
    assert torch.equal(augment(images_BCHW[rows_B], more, rows_B, mean_C, std_C), one)
    assert describe(views, seed, "labels", count)["count"] == count


@fuzzed
@given(values=st.dictionaries(st.sampled_from([*Views.model_fields]), trees, max_size=3))
def test_any_values_as_views(tmp_path: Path, values: dict[str, Any]) -> None:
    assume(values)
    planned({**GIVEN, "views": values}, tmp_path)
