"""Bad input of every kind that a user can bring: one sentence that says what and where, and nothing half-written."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import PLAN, resolve
from pipeline.config import params
from pipeline.data import listing, prepared
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.planning import build as plan
from pipeline.planning import graph
from pipeline.planning.specs.slots import CarrySpec
from pipeline.planning.specs.spec import NodeSpec, read_spec, write_specs
from pipeline.planning.specs.training import TrainSpec
from pipeline.training import stage
from pipeline.training.state import State
from tests.scratch import PARAMS, ROOT

GIVEN = yaml.safe_load(PARAMS.read_text())
DVC = (ROOT / "dvc.yaml").read_text()
NAN, INF = float("nan"), float("inf")
REMOVE = object()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(changes: dict[str, Any]) -> dict[str, Any]:
    """What plan makes of params.yaml with those keys changed."""
    whole = copy.deepcopy(GIVEN)
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = whole
        for key in parents:
            section = section[key]
        if value is REMOVE:
            del section[last]
        else:
            section[last] = value
    Path("params.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    return plan.build(params.read(Path("params.yaml")), graph.read(ROOT / "dvc.yaml"))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("sedes", {}, r"unknown key 'sedes', did you mean 'seeds'\?"),
        ("data.sorce", "x", r"data: unknown key 'sorce', did you mean 'source'\?"),
        ("teacher.recipe.epoch", 3, r"teacher.recipe: unknown key 'epoch', did you mean 'epochs'\?"),
        ("teacher.architecture.widht", 3, r"teacher.architecture.*unknown key 'widht', did you mean 'width'\?"),
        ("teacher.architecture.family", "residul", r"teacher.architecture: unknown .* did you mean 'residual'\?"),
        ("student.objective.soft_target", {}, r"student.objective.* did you mean 'soft_targets'\?"),
        ("student.objective.soft_targets.temprature", 2, r"student.objective.* did you mean 'temperature'\?"),
        ("assistant.architectures.x1", {"family": "residual"}, r"assistant.architectures: unknown slot 'x1'"),
        ("method.soft_target", {}, r"method: unknown method 'soft_target', did you mean 'soft_targets'\?"),
        ("refinery.start", "baseline", r"refinery: unknown key 'start'"),
        ("data.source", "digit", r"data.source: unknown source 'digit', did you mean 'digits'\?"),
        ("training.optimizer", "sdg", r"training.optimizer: unknown optimizer 'sdg', did you mean 'sgd'\?"),
        ("data", None, r"data: must be a mapping of keys to values, not None"),
        ("teacher", [], r"teacher: must be a mapping of keys to values, not \[\]"),
        ("student", 3, r"student: must be a mapping"),
        ("training", REMOVE, r"training: is missing: add it"),
        ("training.lr", REMOVE, r"training.lr: is missing: add it"),
        ("training.lr", NAN, r"training.lr: must be a finite number, not nan"),
        ("training.lr", INF, r"training.lr: must be a finite number, not inf"),
        ("training.lr", "0.1", r"training.lr: must be a valid number, not '0.1'"),
        ("training.epochs", True, r"training.epochs: must be a valid integer, not True"),
        ("training.epochs", 2.5, r"training.epochs: must be a valid integer, not 2.5"),
        ("training.milestones", 0.5, r"training.milestones: must be a list, not 0.5"),
        ("data.validation", NAN, r"data.validation: must be .*, not nan"),
        ("data.size", 10**9, r"data.size: must be less than or equal to 4096"),
        ("machine.device", "gpu", r"machine.device: must match .*cuda.*, not 'gpu'"),
        ("machine.device", "meta", r"machine.device: must match"),
        ("machine.threads", 10**6, r"machine.threads: must be less than or equal to 1024"),
        ("teacher.weights", {"file": "x", "sha256": "abc"}, r"teacher.weights.sha256: must match"),
        ("assistant.architectures.t1", REMOVE, r"assistant: links is 1, but architectures.t1 is not given"),
        ("edges", REMOVE, r"edges.refinery, which dvc.yaml reads, is missing: add it, such as `refinery: baseline`"),
        ("edges.compress", REMOVE, r"edges.compress, .* is missing: add it, such as `compress: teacher`"),
        ("edges.refinery", "basline", r"edges.refinery is 'basline', must be one of teacher, baseline"),
        ("edges.refinery", "refinery/g1", r"edges.refinery is 'refinery/g1', must be one of"),
        ("edges.born_again", "assistant/t4", r"edges.born_again is 'assistant/t4', must be one of"),
        ("baseline.objective", {"soft_targets": {}}, r"baseline.objective needs a teacher"),
        ("data.root", "a\0b", None),
    ],
)
def test_params(workspace: Path, key: str, value: Any, sentence: str | None) -> None:
    if sentence is None:
        build({key: value})  # nothing is looked for where the source is embedded
        return
    with pytest.raises(UserError, match=rf"^params.yaml: {sentence}") as refused:
        build({key: value})
    assert len(str(refused.value)) < 600


def test_more_generations_than_slots_names_the_lines_to_add(workspace: Path) -> None:
    with pytest.raises(
        UserError, match=r"refinery.generations is 9.*`g9: \{prev: refinery/g8\}`; then run `python -m pipeline wire`"
    ):
        build({"refinery.generations": 9})
    with pytest.raises(UserError) as refused:
        build({"refinery.generations": 10**9})
    assert len(str(refused.value)) < 1000
    assert "and so on to g1000000000" in str(refused.value)


def test_two_chains_that_wait_for_each_other(workspace: Path) -> None:
    architecture = {"family": "plain", "widths": [4]}
    with pytest.raises(UserError, match="each would wait for the other"):
        build({"edges.refinery": "ensemble", "edges.born_again": "refined", "refinery.architecture": architecture})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be a mapping of sections"),
        (b"# nothing", "must be a mapping of sections"),
        (b"- a", "must be a mapping of sections"),
        (bytes(range(256)), "cannot be read as YAML"),
        (b"a: \xe9", "cannot be read as YAML"),
        (b"!!python/object/apply:os.system [ls]", r"line 1, column 1: could not determine a constructor"),
        (b"data: {source: digits", "line 2, column 1: did not find expected ',' or '}'"),
        (b"data: {}\nseeds: {}\ndata: {}", r"line 3, column 1: the key 'data' is given twice"),
        (b"data:\n  size: 8\n  root: x\n  size: 9", r"line 4, column 3: the key 'size' is given twice"),
        (b"data: {size: 8, size: 9}", r"line 1, column 17: the key 'size' is given twice"),
        (b"data: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"seeds: {data: 2020-13-41}", "line 1, column 15: '2020-13-41' is no timestamp"),
        (b"seeds: {data: " + b"9" * 5000 + b"}", "line 1, column 15: '9{40}' is no int"),
        (b"3: x", "unknown key '3'"),
        (b"? [a]\n: x", "line 1, column 3: found unhashable key"),
    ],
)
def test_a_file_that_is_no_params(workspace: Path, content: bytes, sentence: str) -> None:
    Path("params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"^params\.yaml.*{sentence}") as refused:
        params.read(Path("params.yaml"))
    assert "\n" not in str(refused.value)


def test_numbers_are_those_of_yaml_1_2_as_dvc_writes_them(workspace: Path) -> None:
    """`-S training.lr=0.00001` is written as 1e-05, which YAML 1.1 takes for a text."""
    text = yaml.safe_dump({**GIVEN, "training": {**GIVEN["training"], "lr": "@"}}).replace("'@'", "1e-05")
    Path("params.yaml").write_text(text)
    assert params.read(Path("params.yaml")).training.lr == 1e-5


def test_no_params_here(workspace: Path) -> None:
    with pytest.raises(UserError, match=rf"^there is no params.yaml in {workspace}: run in the repository's top"):
        params.read(Path("params.yaml"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: "", "lacks stages.assistant.foreach"),
        (lambda text: "stages: {a: {cmd: x}}", "lacks stages.assistant.foreach"),
        (lambda text: text.replace("      g1:", "      1:"), r"holds 1: use a name such as g1"),
        (lambda text: text.replace("  refined:", "  refind:"), "lacks stages.refined.deps"),
        (lambda text: text.replace("  refined:", "  student:"), "the key 'student' is given twice"),
    ],
)
def test_dvc_yaml(workspace: Path, change: Callable[[str], str], sentence: str) -> None:
    Path("dvc.yaml").write_text(change(DVC))
    with pytest.raises(UserError, match=sentence):
        graph.read(Path("dvc.yaml"))


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "a\0b"])
def test_a_path_that_leads_nowhere(path: str) -> None:
    with pytest.raises(UserError, match="leads nowhere"):
        resolve(path)


@pytest.mark.parametrize("name", ["g99", "", "../teacher", "/etc/passwd", "g1/x", "g\n1"])
def test_a_slot_that_is_not_there(workspace: Path, name: str) -> None:
    write_specs({name: NodeSpec(node=name) for name in ("refinery/g1", "teacher")}, PLAN)
    with pytest.raises(UserError, match=r"refinery has no slot .* gives it g1"):
        stage.advance(f"refinery/{name}")
    assert os.listdir() == ["plan"]


def test_a_stage_before_plan(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"plan/refinery/g1.json is missing: run `dvc repro`"):
        stage.advance("refinery/g1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text[:-5],
        lambda text: text.replace("carry", "train"),
        lambda text: json.dumps(dict(list(json.loads(text).items())[1:])),
        lambda text: text.replace("1", "NaN"),
    ],
)
@pytest.mark.parametrize("what", ["spec", "node"])
def test_a_damaged_record_is_never_believed(workspace: Path, damage: Callable[[str], str], what: str) -> None:
    write_specs({"a": CarrySpec(node="a", previous="b", code={"stage": {"source digits": "1"}})}, PLAN)
    carry = Node("b", "carried", origin="carry", chain=(("previous", 0.1),), hashes={"previous": "1"})
    with node.writing("b") as folder:
        node.write(folder, carry)
    assert node.read("b") == carry
    path = Path("plan/a.json") if what == "spec" else Path("artifacts/b/node.json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=rf"^{path} is damaged .*run `dvc repro`$"):
        stage.advance("a") if what == "spec" else node.read("b")
    assert sorted(os.listdir()) == ["artifacts", "plan"]


@pytest.mark.parametrize("content", ["{}", "[]", '{"cost": 3}', '{"cost": {"training_seconds": "x"}, "parameters": 1}'])
def test_damaged_numbers(workspace: Path, content: str) -> None:
    value = json.loads(content)
    files.write_json(Path("metrics/a.json"), files.sealed(value) if isinstance(value, dict) else value)
    with pytest.raises(UserError, match=r"metrics/a.json (lacks numbers of a network|is damaged .*): delete it"):
        node.read_numbers("a")


@pytest.mark.parametrize("blocked", ["metrics", "curves"])
def test_no_node_stays_without_its_numbers(workspace: Path, blocked: str) -> None:
    with node.writing("a") as folder:
        node.write(folder, Node("a", "skipped"))
    Path(blocked).write_text("a file where a folder must be")
    with pytest.raises(OSError):
        node.write_numbers("a", {}, "")
    assert not Path("artifacts/a").exists()
    assert not Path("metrics/a.json").exists()


def test_a_full_disk_names_the_file_and_leaves_what_was_there(workspace: Path) -> None:
    with files.replacing(Path("a")) as folder:
        folder.mkdir()
        (folder / "old").touch()
    with pytest.raises(OSError) as failed, files.replacing(Path("a")) as folder:
        folder.mkdir()
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
    assert failed.value.filename == "a"
    with pytest.raises(OSError) as failed, files.replacing(Path("a")) as folder:
        folder.mkdir()
        (folder / "b" / "c").write_text("x")
    assert failed.value.filename == "a/b/c"
    assert os.listdir() == ["a"]
    assert os.listdir("a") == ["old"]


def test_a_full_disk_keeps_the_last_state(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(workspace)
    state.save(b"old")
    before = sorted(os.listdir())
    (workspace / "state.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError) as failed:
        state.save(b"new")
    assert failed.value.filename == str(workspace / "state")
    assert sorted(os.listdir()) == before
    assert state.load(print) == b"old"


def two_classes(root: Path) -> Path:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "1.png").touch()
    return root


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda root: (root / "a" / "1.png").unlink(), r"a holds no image"),
        (lambda root: (root / "c").symlink_to("nowhere"), r"c under data.root is a link that leads nowhere"),
        (lambda root: (root / "a" / "l.png").symlink_to("l.png"), r"l.png under data.root is a link that leads"),
        (lambda root: (root / "c").symlink_to("."), r"c under data.root is a link to a folder that it lies in"),
        (lambda root: os.mkfifo(root / "a" / "2.png"), r"2.png under data.root is no regular file"),
        (
            lambda root: (two_classes(root / "train"), (root / "test" / "a").mkdir(parents=True)),
            r"test/a holds no image",
        ),
        (lambda root: (two_classes(root / "train"), (root / "test").mkdir()), r"'a' in train/ and not in test/"),
    ],
)
def test_image_folder(tmp_path: Path, spoil: Callable[[Path], Any], sentence: str) -> None:
    spoil(two_classes(tmp_path))
    with pytest.raises(UserError, match=sentence):
        listing.listing(tmp_path)


@pytest.mark.parametrize("name", ["with space", "ünï", "new\nline", b"\xff".decode(errors="surrogateescape")])
def test_odd_names_of_files_and_classes_are_fine(tmp_path: Path, name: str) -> None:
    two_classes(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.png").touch()
    assert listing.listing(tmp_path)["count"] == 3


@pytest.mark.parametrize(("key", "value"), [("mean", [0.1, 0.2]), ("std", []), ("std", [0.0]), ("std", [-1.0])])
def test_a_header_whose_statistics_are_not_of_the_images(tmp_path: Path, key: str, value: list[float]) -> None:
    from pipeline.config.data import Data
    from pipeline.data.prepare import prepare

    prepare(Data(source="digits", per_class=2), tmp_path, 0, tmp_path / "out")
    path = tmp_path / "out" / prepared.HEADER
    files.write_sealed(path, files.read_sealed(path) | {key: value})
    with pytest.raises(UserError, match=r"data.json has no valid mean and std of 1 channels"):
        prepared.read(tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda weight: weight.astype(np.complex64), "as torch.complex64, where torch.float32 is expected"),
        (lambda weight: weight.astype(np.int8), "as torch.int8, where torch.float32 is expected"),
        (lambda weight: weight * np.float32(NAN), "numbers in 'linear.weight' that are not finite"),
        (lambda weight: weight * np.float32(INF), "that are not finite"),
    ],
)
def test_imported_weights_that_are_no_weights(tmp_path: Path, spoil: Callable[[Any], Any], sentence: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from pipeline.models.build import build
    from pipeline.models.files import load_weights, save_weights

    model = build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=3)
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    tensors = load_file(path)
    assert "linear.weight" in tensors
    tensors["linear.weight"] = torch.from_numpy(spoil(tensors["linear.weight"].numpy()))
    save_file(tensors, path)
    with pytest.raises(UserError, match=sentence):
        load_weights(model, path, "the weights")


def test_what_is_whole_is_read(workspace: Path) -> None:
    specs = build({})
    write_specs(specs, PLAN)
    assert read_spec("teacher", TrainSpec) == specs["teacher"]
    assert read_spec("refinery/g1", TrainSpec) == specs["refinery/g1"]
