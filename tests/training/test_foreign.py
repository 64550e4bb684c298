"""A teacher that is no network of ours, from its file to a student: answers, and an ONNX model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.data import prepared
from pipeline.data.origins import ORIGINS
from pipeline.data.prepare import prepare
from pipeline.labels.answers import our_views
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.planning.specs.spec import write_specs
from pipeline.training import foreign, onnx_teacher
from pipeline.training.learn import learn
from tests.labels.answered import npz, of_node, parquet
from tests.planning.test_foreign import WITHOUT_NETWORK
from tests.training.runs import furnish, inside, planned

STUDENT: dict[str, Any] = {"assistant": {"links": 0}, "student": {"recipe": {"epochs": 2}}}
OFF: dict[str, Any] = {"views": {"shift": 0, "flip": False, "scale": 1.0}}
ANSWERS = "answers.npz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a teacher that was trained here, and the student that learned from its stored labels."""
    folder = tmp_path_factory.mktemp("trained")
    with inside(folder):
        specs = furnish(folder, STUDENT)
        learn(specs["direct"])
        prepare(params.read(Path("params.yaml")).data, folder, 0, folder / "again", True)
        (folder / "again" / ORIGINS).rename(DATA / ORIGINS)
    return folder


@pytest.fixture
def there(trained: Path, tmp_path: Path) -> Path:
    """The prepared images of `trained` in a folder of its own, where nothing was trained."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / DATA).symlink_to(trained / DATA)
    return tmp_path


def answered(trained: Path, folder: Path) -> dict[str, Any]:
    """All that the teacher of `trained` has stored, as a file of answers to our views."""
    with inside(trained):
        data, teacher = prepared.read(DATA), node.read("teacher")
        views = files.read_json(teacher.labels / "labels.json")["view_spec"]
        labels = open_labels(
            teacher.labels, recorded=teacher.hashes["labels"], data_hash=data.hash, views=views, classes=data.classes
        )
        content = of_node(labels, read_predictions(teacher), labels.views)
        return {**content, "view_spec": np.array(json.dumps(our_views(views, data.hash)))}


def specs_of(folder: Path, file: Path, key: str = "answers", views: Any = None, **settings: Any) -> dict[str, Any]:
    """The specs with a teacher from that file."""
    given = {"file": str(file), "sha256": files.sha256(file), **settings}
    specs = planned(folder, {**WITHOUT_NETWORK, **STUDENT, "teacher": {key: given}, **(views or {})})
    write_specs(specs, PLAN)
    return specs


def taught(folder: Path, specs: dict[str, Any]) -> node.Node:
    """Take the teacher in and train the student that learns straight from it."""
    take = foreign.take if specs["teacher"].action == "answers" else onnx_teacher.take
    take(specs["teacher"])
    learn(specs["direct"])
    return node.read("direct")


def same(one: node.Node, other: node.Node) -> bool:
    return one.hashes["weights"] == other.hashes["weights"] and one.hashes["labels"] == other.hashes["labels"]


@pytest.mark.parametrize("write", [npz, parquet])
def test_answers_of_our_views_make_the_student_that_the_network_made(
    trained: Path, there: Path, write: Callable[[Path, dict[str, Any]], Path]
) -> None:
    content = answered(trained, there)
    # In another order, as whoever answers elsewhere has one of its own.
    mixed = np.random.default_rng(0).permutation(len(content["number"]))
    content = {key: value[mixed] if value.ndim else value for key, value in content.items()}
    with inside(trained):
        teacher, student = node.read("teacher"), node.read("direct")
    with inside(there):
        file = write(there / ("answers.npz" if write is npz else "answers.parquet"), content)
        found = taught(there, specs_of(there, file, for_views="own"))
        assert found.hashes["weights"] == student.hashes["weights"]
        given = node.read("teacher")
        assert given.hashes["predictions"] == teacher.hashes["predictions"]
        headers = [files.read_json(each / "labels.json")["files"] for each in (given.labels, trained / teacher.labels)]
        assert headers[0] == headers[1]
        assert (given.status, given.provides) == ("imported", ("predictions", "labels"))
        numbers = node.read_numbers("teacher")
        assert not {"parameters", "flops", "bytes"} & numbers.keys() and "latency_ms" not in numbers["cost"]


def test_clean_answers_stand_for_each_view_where_that_is_asked_for_and_the_student_says_so(
    trained: Path, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = answered(trained, there)
    clean = {key: value[content["view"] == 0] for key, value in content.items() if key in ("number", "logits")}
    with inside(there):
        file = npz(there / ANSWERS, clean)
        taught(there, specs_of(there, file, for_views="clean"))
        given = node.read("teacher")
        sha256s = {each["sha256"] for each in files.read_json(given.labels / "labels.json")["files"]}
        assert len(sha256s) == 1, "every view has the labels of the clean images"
        assert given.labels_of == "clean"
    said = capsys.readouterr().out
    assert "teacher: answers to clean images" in said
    assert "direct: teacher has answered clean images only: each view has the label of its clean image" in said


def test_views_that_leave_images_as_they_are_need_clean_answers_only(
    trained: Path, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = answered(trained, there)
    with inside(there):
        taught(
            there,
            specs_of(
                there, npz(there / ANSWERS, {key: content[key] for key in ("number", "logits", "view")}), views=OFF
            ),
        )
        assert node.read("teacher").labels_of is None
    said = capsys.readouterr().out
    assert "answered clean images only" not in said and "rows that nobody asks for are not used" in said


def test_a_file_that_is_missing_or_another_one(there: Path, trained: Path) -> None:
    with inside(there):
        file = npz(there / ANSWERS, answered(trained, there))
        specs = specs_of(there, file, for_views="own")
        file.write_bytes(file.read_bytes() + b" ")
        with pytest.raises(UserError, match=r"params.yaml: teacher.answers.sha256 is not that of .*answers.npz, which"):
            foreign.take(specs["teacher"])
        file.unlink()
        with pytest.raises(UserError, match=r"params.yaml: teacher.answers.file is .*, but there is no file"):
            foreign.take(specs["teacher"])
        assert not (there / "artifacts" / "teacher").exists()


def test_images_whose_origins_are_not_there_are_prepared_anew(there: Path, trained: Path) -> None:
    """Plan sees to that; a stage that is run by hand is told."""
    with inside(there):
        specs = specs_of(there, npz(there / ANSWERS, answered(trained, there)), for_views="own")
        (there / DATA).unlink()
        (there / DATA).mkdir()
        for path in (trained / DATA).iterdir():
            if path.name != ORIGINS:
                (there / DATA / path.name).symlink_to(path)
        with pytest.raises(UserError, match=r"origins.json is missing: run `dvc repro`"):
            foreign.take(specs["teacher"])


def model(path: Path, **how: Any) -> tuple[Path, np.ndarray]:
    """An ONNX file whose logits are its weights (classes, 64) times the pixels that it is fed; and these weights.

    batch, size, classes: of what it takes and gives. softmax: gives probabilities. spoiled: a weight that is none.
    """
    from onnx import TensorProto, helper, numpy_helper, save_model

    batch, size, classes = how.get("batch", "batch"), how.get("size", 8), how.get("classes", 10)
    channels = how.get("channels", 1)
    weights = np.random.default_rng(0).normal(size=(classes, channels * size * size)).astype(np.float32) / 8
    stored = weights.copy()
    if how.get("spoiled"):
        stored[0, 0] = np.nan
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["z"], transB=1)]
    if how.get("softmax"):
        nodes.append(helper.make_node("Softmax", ["z"], ["p"], axis=1))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, size, size])],
        [helper.make_tensor_value_info("p" if how.get("softmax") else "z", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(stored, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save_model(made, path, save_as_external_data=how.get("external", False), location="beside", size_threshold=0)
    return path, weights


def fed(mean: float | None = None, std: float | None = None) -> np.ndarray:
    """The clean test images of the current folder as a model is fed them: float32 (N, 64)."""
    data = prepared.read(DATA)
    pixels = np.asarray(data.test.images, np.float32) / 255
    mean, std = (data.mean[0] if mean is None else mean), (data.std[0] if std is None else std)
    return ((pixels - np.float32(mean)) / np.float32(std)).reshape(len(pixels), -1)


@pytest.mark.parametrize("batch", ["batch", 7])
def test_an_onnx_model_answers_what_it_is_fed(there: Path, batch: Any) -> None:
    with inside(there):
        path, weights = model(there / "a.onnx", batch=batch)
        onnx_teacher.take(specs_of(there, path, "onnx")["teacher"])
        given = node.read("teacher")
        np.testing.assert_allclose(read_predictions(given)["test"], fed() @ weights.T, rtol=1e-4, atol=1e-4)
        assert (given.status, given.format, given.architecture) == ("imported", "onnx", None)
        assert given.weights.read_bytes() == path.read_bytes()
        numbers = node.read_numbers("teacher")
        assert numbers["bytes"] == path.stat().st_size and numbers["cost"]["latency_ms"] > 0
        assert not {"parameters", "flops"} & numbers.keys()


def test_it_is_fed_its_own_normalisation_and_its_classes_are_found_by_name(there: Path) -> None:
    with inside(there):
        path, weights = model(there / "a.onnx", classes=11)
        names = [*"9876543210", "none"]
        given = {"classes": names, "input": {"mean": [0.5], "std": [0.25]}}
        onnx_teacher.take(specs_of(there, path, "onnx", **given)["teacher"])
        expected = (fed(0.5, 0.25) @ weights.T)[:, 9::-1]
        np.testing.assert_allclose(read_predictions(node.read("teacher"))["test"], expected, rtol=1e-4, atol=1e-4)


def test_images_are_resized_to_what_it_takes(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with inside(there):
        path, _ = model(there / "a.onnx", size=12)
        onnx_teacher.take(specs_of(there, path, "onnx")["teacher"])
        assert "it takes 12 pixels and the images have 8: they are resized for it" in capsys.readouterr().out
        with pytest.raises(UserError, match=r"teacher.onnx.input.size is 9, and .* takes 12 pixels"):
            onnx_teacher.take(specs_of(there, path, "onnx", input={"size": 9})["teacher"])


def test_probabilities_of_a_model_become_their_logarithms(there: Path) -> None:
    with inside(there):
        path, weights = model(there / "a.onnx", softmax=True)
        onnx_teacher.take(specs_of(there, path, "onnx", gives="probabilities")["teacher"])
        z_NC = fed() @ weights.T
        expected = z_NC - np.log(np.exp(z_NC).sum(1, keepdims=True))
        np.testing.assert_allclose(read_predictions(node.read("teacher"))["test"], expected, rtol=1e-4, atol=1e-4)
        with pytest.raises(UserError, match=r"set teacher.onnx.gives to probabilities"):
            onnx_teacher.take(specs_of(there, path, "onnx")["teacher"])


def test_answers_of_an_onnx_model_make_the_student_that_the_model_made(there: Path, tmp_path: Path) -> None:
    with inside(there):
        path, _ = model(there / "a.onnx")
        student = taught(there, specs_of(there, path, "onnx"))
        content = answered(there, there)
    second = tmp_path / "second"
    (second / "artifacts").mkdir(parents=True)
    (second / DATA).symlink_to((there / DATA).resolve())
    with inside(second):
        found = taught(second, specs_of(second, npz(second / ANSWERS, content), for_views="own"))
        assert same(found, student)


@pytest.mark.long
def test_the_file_that_this_pipeline_exports_answers_as_its_network_does(trained: Path, there: Path) -> None:
    from pipeline.compression.card import Card
    from pipeline.compression.export_onnx import export
    from pipeline.training.learn import load
    from tests.training.runs import CPU

    with inside(trained):
        data, teacher = prepared.read(DATA), node.read("teacher")
        card = Card(classes=data.classes, mean=data.mean, std=data.std, channels=data.channels, size=data.size)
        export(load(teacher, CPU).eval(), there / "exported.onnx", card)
        expected = read_predictions(teacher)["test"]
    with inside(there):
        onnx_teacher.take(specs_of(there, there / "exported.onnx", "onnx")["teacher"])
        torch.testing.assert_close(read_predictions(node.read("teacher"))["test"], expected, rtol=1e-3, atol=1e-4)


def carded(path: Path, **card: Any) -> Path:
    """The model above as a file that this pipeline exported says what it is."""
    import onnx

    made = onnx.load(model(path)[0])
    onnx.helper.set_model_props(made, {f"cohobate.{key}": json.dumps(value) for key, value in card.items()})
    onnx.save(made, path)
    return path


def test_a_file_of_ours_says_how_images_become_square_and_params_yaml_may_say_otherwise(there: Path) -> None:
    with inside(there):
        card = {"classes": [*map(str, range(10))], "framing": "squash", "margin": 0.25}
        path = carded(there / "a.onnx", **card)
        onnx_teacher.take(specs_of(there, path, "onnx")["teacher"])
        assert (found := node.read("teacher").input) and (found.framing, found.margin) == ("squash", 0.25)
        assert found.mean == (0.0,)
        onnx_teacher.take(specs_of(there, path, "onnx", input={"margin": 0.125})["teacher"])
        assert (found := node.read("teacher").input) and (found.framing, found.margin) == ("squash", 0.125)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"framing": "round"}, "has metadata that cannot be used (its input has the framing 'round'"),
        ({"margin": "wide"}, "has metadata that cannot be used ('<=' not supported"),
        ({"classes": 3}, "has class names that cannot be read: export it anew"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(there: Path, card: dict[str, Any], said: str) -> None:
    with inside(there):
        path = carded(there / "a.onnx", **{"classes": [*map(str, range(10))], **card})
        with pytest.raises(UserError) as raised:
            onnx_teacher.take(specs_of(there, path, "onnx")["teacher"])
        assert said in str(raised.value)


@pytest.mark.parametrize(
    ("how", "given", "said"),
    [
        ({"classes": 9}, {}, "gives 9 numbers a row and the data have 10 classes"),
        ({"spoiled": True}, {}, "gives logits that are not finite"),
        ({"channels": 3}, {}, "takes images of 3 channels, and the data have 1"),
        ({"external": True}, {}, "keeps 1 of its tensors in other files, which its SHA-256 does not see"),
        ({}, {"classes": ["a"] * 9 + ["b"]}, "names the class 'a' twice"),
        (
            {},
            {"input": {"mean": [0.5] * 3, "std": [0.5] * 3}},
            "teacher.onnx.input.mean has 3 numbers and the images have 1 channels",
        ),
        ({}, {"gives": "probabilities"}, "set teacher.onnx.gives to logits"),
    ],
)
def test_a_model_that_is_none_of_ours(there: Path, how: dict[str, Any], given: dict[str, Any], said: str) -> None:
    with inside(there):
        path, _ = model(there / "a.onnx", **how)
        with pytest.raises(UserError) as raised:
            onnx_teacher.take(specs_of(there, path, "onnx", **given)["teacher"])
        assert said in str(raised.value)
        assert not (there / "artifacts" / "teacher").exists()


@pytest.mark.parametrize("cut", [0, 20, -20])
def test_a_model_that_is_not_whole(there: Path, cut: int) -> None:
    with inside(there):
        path, _ = model(there / "a.onnx")
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(UserError, match=r"is no whole ONNX file|is no model that onnxruntime can run"):
            onnx_teacher.take(specs_of(there, path, "onnx")["teacher"])
