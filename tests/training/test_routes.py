"""One real pretrained teacher by five routes: its own file, a user's module, a wrapped `.pth`, ONNX, and its answers.

EfficientNet-Lite0 with weights of ImageNet, trained further on photographs, teaches the same student by each.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline.base import files
from pipeline.base.paths import CODE, DATA, PLAN
from pipeline.commands.import_weights import import_weights
from pipeline.compression.export_onnx import export
from pipeline.compression.work import card_of
from pipeline.config import params
from pipeline.config.yaml import read_yaml
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.labels.answers import our_views
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.planning.build import build
from pipeline.planning.specs.spec import write_specs
from pipeline.training import foreign, onnx_teacher
from pipeline.training.learn import learn, load
from tests.labels.answered import npz, of_node
from tests.planning.test_foreign import WITHOUT_NETWORK
from tests.training.runs import CPU, STAGES, inside, planned

SHARED = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "tf_efficientnet_lite0.safetensors"
IMAGES = SHARED / "cifar10-jpeg" / "cifar10.tar.xz"
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (WEIGHTS.is_file() and IMAGES.is_file()), reason="no weights and images in ../shared/data"),
]
CLASSES, EACH = 4, 40
LITE0 = {"family": "timm", "name": "tf_efficientnet_lite0"}
INPUT = {"size": 96, "mean": [0.5] * 3, "std": [0.5] * 3}
RECIPE = {"epochs": 20, "batch_size": 16, "optimizer": "adamw", "lr": 0.003, "freeze": "embedding"}
COMMON: dict[str, Any] = {
    **WITHOUT_NETWORK,
    "edges": {"born_again": "student", "compress": "student"},
    "data": {"source": "imagefolder", "root": "images", "size": 32, "per_class": 20, "validation": 0.3, "test": 0.2},
    "views": {"flip": True, "scale": 0.5},
    "assistant": {"links": 0},
    "student": {"architecture": {"family": "plain", "widths": [4, 8]}, "recipe": {"epochs": 2}},
}
NETWORKS = """
import timm
from torch import nn


def build(classes: int, channels: int) -> nn.Module:
    return timm.create_model("tf_efficientnet_lite0", num_classes=classes, in_chans=channels)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Photographs of a few classes, the teacher that begins with ImageNet's weights, and its student."""
    pytest.importorskip("timm")
    folder = tmp_path_factory.mktemp("routes")
    _photographs(folder / "images")
    initial = {"file": str(WEIGHTS), "sha256": files.sha256(WEIGHTS), "head": "new"}
    with inside(folder):
        teacher = {"architecture": LITE0, "input": INPUT, "initial": initial, "recipe": RECIPE}
        specs = _planned(folder, teacher)
        prepare(params.read(Path("params.yaml")).data, folder / "images", 0, DATA, True)
        learn(specs["teacher"])
        learn(specs["direct"])
    yield folder


def _photographs(folder: Path) -> None:
    """The first photographs of the first classes of CIFAR-10 (JPEG)."""
    counts: dict[str, int] = {}
    with tarfile.open(IMAGES) as archive:
        for member in archive:
            part, _, name = member.name.partition("/")[2].partition("/")
            label = name.partition("/")[0]
            known = label in counts or len(counts) < CLASSES
            if part == "train" and member.isfile() and known and counts.get(label, 0) < EACH:
                counts[label] = counts.get(label, 0) + 1
                content = archive.extractfile(member)
                assert content is not None
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
            if len(counts) == CLASSES and min(counts.values()) == EACH:
                return


def _planned(folder: Path, teacher: Mapping[str, Any]) -> dict[str, Any]:
    path = folder / "params.yaml"
    planned(folder, COMMON)
    whole = read_yaml(path)
    # In its place: the teacher that stands there has settings of another family.
    whole["teacher"] = {"objective": whole["teacher"]["objective"], **teacher}
    path.write_text(yaml.safe_dump(whole))
    specs = build(params.read(path), STAGES)
    write_specs(specs, PLAN)
    return specs


def _given(path: Path, **more: Any) -> dict[str, Any]:
    return {"file": str(path), "sha256": files.sha256(path), **more}


def _file(whole: Path) -> dict[str, Any]:
    with inside(whole):
        path = node.read("teacher").weights.resolve()
    return {"architecture": LITE0, "input": INPUT, "weights": _given(path)}


def _module(whole: Path) -> dict[str, Any]:
    Path("networks.py").write_text(NETWORKS)
    own = {"family": "own", "module": "networks.py", "build": "build"}
    return {**_file(whole), "architecture": own}


def _checkpoint(whole: Path) -> dict[str, Any]:
    tensors = load_file(_file(whole)["weights"]["file"])
    wrapped = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, "checkpoint.pth")
    _planned(Path.cwd(), {"architecture": LITE0, "input": INPUT})
    shutil.copy2(CODE / "dvc.yaml", "dvc.yaml")
    list(import_weights(Path("checkpoint.pth"), out=Path("weights.safetensors")))
    return {"architecture": LITE0, "input": INPUT, "weights": _given(Path("weights.safetensors"))}


def _onnx(whole: Path) -> dict[str, Any]:
    with inside(whole):
        teacher = node.read("teacher")
        network, card = load(teacher, CPU).eval(), card_of(teacher, prepared.read(DATA))
    export(network, Path("teacher.onnx"), card)
    return {"architecture": LITE0, "onnx": _given(Path("teacher.onnx"))}


def _answers(whole: Path) -> dict[str, Any]:
    with inside(whole):
        data, teacher = prepared.read(DATA), node.read("teacher")
        views = files.read_json(teacher.labels / "labels.json")["view_spec"]
        recorded = teacher.hashes["labels"]
        labels = open_labels(teacher.labels, recorded=recorded, data_hash=data.hash, views=views, classes=data.classes)
        content = of_node(labels, read_predictions(teacher), labels.views)
    content["view_spec"] = np.array(json.dumps(our_views(views, data.hash)))
    return {"architecture": LITE0, "answers": _given(npz(Path("answers.npz"), content), for_views="own")}


@pytest.mark.parametrize("route", [_file, _module, _checkpoint, _onnx, _answers], ids=lambda each: each.__name__[1:])
def test_the_same_teacher_makes_the_same_student_by_each_route(whole: Path, tmp_path: Path, route: Any) -> None:
    (tmp_path / DATA).parent.mkdir(parents=True)
    (tmp_path / DATA).symlink_to(whole / DATA)
    (tmp_path / "images").symlink_to(whole / "images")
    with inside(whole):
        teacher, student = node.read("teacher"), node.read("direct")
        expected = read_predictions(teacher)["test"]
    with inside(tmp_path):
        specs = _planned(tmp_path, route(whole))
        take = {"answers": foreign.take, "onnx": onnx_teacher.take}.get(specs["teacher"].action, learn)
        take(specs["teacher"])
        learn(specs["direct"])
        found, taught = node.read("teacher"), node.read("direct")
        logits = read_predictions(found)["test"]
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
        if torch.equal(logits, expected):
            assert taught.hashes["weights"] == student.hashes["weights"]
        else:  # onnxruntime sums in another order
            assert route is _onnx
            one, other = load_file(taught.weights), load_file(whole / student.weights)
            for name, tensor in one.items():
                torch.testing.assert_close(tensor, other[name], rtol=1e-2, atol=1e-3)
