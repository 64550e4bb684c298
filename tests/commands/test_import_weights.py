"""`python -m pipeline import`: one network, whatever its file looks like, is one file of the same bytes."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE, DATA
from pipeline.commands.import_weights import import_weights
from pipeline.config.class_names import names_of, read_names
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.build import build as make
from pipeline.training.learn import fitted as within_budget
from pipeline.training.learn import learn
from tests.scratch import merged
from tests.training import runs
from tests.training.runs import furnish, inside

NAMES = [str(digit) for digit in (3, 0, 4, 1, 5, 9, 2, 6, 7, 8)]
OUT = Path("weights/teacher.safetensors")
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("import")
    with inside(folder):
        furnish(folder, {"teacher": {"recipe": {"epochs": 6}}})
        Path("dvc.yaml").write_bytes((CODE / "dvc.yaml").read_bytes())
    return folder


@pytest.fixture(autouse=True)
def within(folder: Path) -> Iterator[None]:
    with inside(folder):
        runs.planned(folder, {"teacher": {"recipe": {"epochs": 6}}})
        yield


def state() -> State:
    return load_file(node.read("teacher").weights)


def imported(value: Any, **options: Any) -> tuple[bytes, str]:
    """The bytes of the file that a checkpoint becomes, and what is printed."""
    torch.save(value, "given.pth")
    said = "\n".join(import_weights(Path("given.pth"), **{"out": OUT, **options}))
    return OUT.read_bytes(), said


def permuted(of: State) -> State:
    rows = [int(each) for each in NAMES]
    return {key: each[rows] if key.startswith("linear.") else each for key, each in of.items()}


SAME: dict[str, Callable[[State], Any]] = {
    "plain": lambda of: of,
    "of several cards": lambda of: {"state_dict": {f"module.{key}": each for key, each in of.items()}, "epoch": 9},
    "compiled": lambda of: {"model": {f"_orig_mod.{key}": each for key, each in of.items()}},
    "in another order": lambda of: dict(reversed(of.items())),
    "views of one tensor": lambda of: {key: torch.stack([each, each])[0] for key, each in of.items()},
}


@pytest.mark.parametrize("how", SAME)
def test_whatever_wraps_it_the_bytes_are_the_same(how: str) -> None:
    save_file(state(), "plain.safetensors")
    wanted = "\n".join(import_weights(Path("plain.safetensors")))
    before = OUT.read_bytes()
    found, said = imported(SAME[how](state()))
    assert found == before
    assert said.splitlines()[-4:] == wanted.splitlines()[-4:]
    assert hashlib.sha256(found).hexdigest() in said


def test_the_printed_lines_import_the_network_to_the_last_logit() -> None:
    _, said = imported({"state_dict": {f"module.{key}": each for key, each in state().items()}})
    assert "given.pth: module. is stripped from its names" in said
    lines = yaml.safe_load(said.split("for params.yaml:")[1])
    assert [*lines] == ["teacher"] and [*lines["teacher"]] == ["weights"]
    spec = runs.planned(Path(), lines)["teacher"]
    before = read_predictions(node.read("teacher"))
    learn(spec)
    after = read_predictions(node.read("teacher"))
    assert node.read("teacher").status == "imported"
    assert all(torch.equal(before[split], after[split]) for split in before)
    assert read_file_classes() is None, "their order was not known from the file"


def read_file_classes() -> Any:
    with safe_open(OUT, "pt") as file:
        return (file.metadata() or {}).get("classes")


def test_a_permuted_last_layer_becomes_the_file_of_the_network_itself(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n\n")
    plain, _ = imported(state())
    first, said = imported(permuted(state()), classes=tmp_path / "names.txt")
    second, _ = imported({"state_dict": permuted(state()), "classes": NAMES})
    assert first == second
    assert "rows of its last layer are put into the data's order of classes, by their names" in said
    tensors = load_file(OUT)
    assert all(torch.equal(tensors[key], each) for key, each in state().items())
    assert json.loads(read_file_classes()) == [str(digit) for digit in range(10)]
    assert first != plain, "it names its classes"


def test_the_moving_average_is_another_file() -> None:
    average = {key: each + 1 if each.is_floating_point() else each for key, each in state().items()}
    checkpoint = {"state_dict": state(), "state_dict_ema": average}
    plain, said = imported(checkpoint)
    assert "--ema takes that" in said
    averaged, _ = imported(checkpoint, ema=True)
    assert averaged == imported(average)[0] != plain


def test_a_new_last_layer_is_for_training_on() -> None:
    other = state() | {"linear.weight": torch.ones(3, 64), "linear.bias": torch.ones(3)}
    with pytest.raises(UserError, match="it was trained for 3 classes and the data has 10"):
        imported(other)
    _, said = imported(other, head="new")
    lines = yaml.safe_load(said.split("for params.yaml:")[1])
    assert lines["teacher"]["initial"]["head"] == "new"
    assert not any(key.startswith("linear.") for key in load_file(OUT))
    spec = runs.planned(Path(), lines)["teacher"]
    found = runs.training(spec).model.state_dict()
    assert all(torch.equal(found[key], each) for key, each in load_file(OUT).items())


def test_a_hubs_folder_of_shards_is_imported(tmp_path: Path) -> None:
    whole = state()
    where = {key: f"part-{number % 2}.safetensors" for number, key in enumerate(whole)}
    for name in {*where.values()}:
        save_file({key: whole[key] for key in whole if where[key] == name}, tmp_path / name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    list(import_weights(tmp_path))
    found = OUT.read_bytes()
    assert found == imported(whole)[0]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("student", ("student", "initial")),
        ("assistant/t2", ("assistant", "initials", "t2")),
        ("mutual/p1", ("mutual", "initials", "p1")),
        ("method/dkd", ("method", "dkd", "initial")),
        ("refinery", ("refinery", "initial")),
        ("compress/distil", ("compress", "steps", "distil", "initial")),
    ],
)
def test_the_lines_are_of_the_network_that_is_asked_for(name: str, path: tuple[str, ...]) -> None:
    specs, data = runs.planned(Path(), {}), prepared.read(DATA)
    student = specs["compress/c1" if name.startswith("compress") else "student"].training.architecture
    settings = student if "t2" not in name else runs.read_yaml(Path("params.yaml"))["assistant"]["architectures"]["t2"]
    _, said = imported(make(within_budget(settings, data), channels=1, size=8, classes=10).state_dict(), node=name)
    found = yaml.safe_load(said.split("for params.yaml:")[1])
    for key in path:
        found = found[key]
    assert found == {"file": str(OUT), "sha256": hashlib.sha256(OUT.read_bytes()).hexdigest()}


def test_another_architecture_is_printed_with_the_weights() -> None:
    plain = {"family": "plain", "widths": [4, 8]}
    tensors = make(plain, channels=1, size=8, classes=10).state_dict()
    _, said = imported(tensors, architecture="{family: plain, widths: [4, 8]}")
    assert yaml.safe_load(said.split("for params.yaml:")[1])["teacher"]["architecture"]["widths"] == [4, 8]


def test_dry_writes_nothing_and_says_the_same() -> None:
    found, said = imported(state())
    OUT.unlink()
    dry = "\n".join(import_weights(Path("given.pth"), dry=True))
    assert not OUT.exists()
    assert dry.replace(", not written", "") == said
    assert found


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"node": "techer"}, r"--node: unknown network 'techer', did you mean 'teacher'"),
        ({"head": "nw"}, r"--head: unknown kind 'nw', did you mean 'new'"),
        (
            {"architecture": "{family: plane}"},
            r"--architecture: unknown architecture family 'plane', did you mean 'plain'",
        ),
        ({"architecture": "[a"}, r"--architecture is no YAML"),
        ({"architecture": "plain"}, r"--architecture must be a mapping"),
        ({"classes": Path("none.txt")}, r"names of classes cannot be read from none\.txt"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        imported(state(), **options)


@pytest.mark.parametrize("name", ["teacher", "student", "assistant/t2", "mutual/p1", "method/dkd", "compress/distil"])
def test_what_is_printed_can_be_written_and_all_else_stays(name: str) -> None:
    specs, data = runs.planned(Path(), {}), prepared.read(DATA)
    student = specs["compress/c1" if name.startswith("compress") else "student"].training.architecture
    content = runs.read_yaml(Path("params.yaml"))
    settings = content["assistant"]["architectures"]["t2"] if "t2" in name else student
    settings = content["teacher"]["architecture"] if name == "teacher" else settings
    tensors = make(within_budget(settings, data), channels=1, size=8, classes=10).state_dict()
    _, said = imported(tensors, node=name)
    expected = merged(content, yaml.safe_load(said.split("for params.yaml:")[1]))
    _, said = imported(tensors, node=name, write=True)
    assert runs.read_yaml(Path("params.yaml")) == expected
    assert f"sha256 was -, is {hashlib.sha256(OUT.read_bytes()).hexdigest()}" in said and "for params.yaml" not in said


def test_of_what_a_network_began_with_before_nothing_stays_and_comments_do() -> None:
    text = (CODE / "params.yaml").read_text()
    given = "  weights: null           # to import"
    assert given in text
    Path("params.yaml").write_text(text.replace(given, "  weights: {file: a, sha256: " + 64 * "a" + "}  # to import"))
    settings = {"family": "plain", "widths": [4, 8]}
    tensors = make(settings, channels=1, size=8, classes=7).state_dict()
    imported(tensors, head="new", architecture="{family: plain, widths: [4, 8]}", write=True)
    after = Path("params.yaml").read_text()
    content = yaml.safe_load(after)["teacher"]
    assert (
        content["weights"] is None
        and content["initial"]["head"] == "new"
        and content["architecture"]["widths"] == [4, 8]
    )
    assert sorted(re.findall(r"#.*", after)) == sorted(re.findall(r"#.*", text))


def test_a_dry_run_writes_nothing_of_params_yaml() -> None:
    before = Path("params.yaml").read_bytes()
    torch.save(state(), "given.pth")
    said = [*import_weights(Path("given.pth"), dry=True, write=True)]
    assert Path("params.yaml").read_bytes() == before
    assert "params.yaml: teacher.weights.file was -, would be weights/teacher.safetensors" in said


def test_each_network_has_a_file_of_its_own() -> None:
    torch.save(state(), "given.pth")
    said = "\n".join(import_weights(Path("given.pth"), "born_again", dry=True))
    assert "weights/born_again.safetensors: " in said


def test_the_command_prints_it() -> None:
    torch.save(state(), "given.pth")
    answer = CliRunner().invoke(app, ["import", "given.pth", "--dry", "--out", "w.safetensors"])
    assert answer.exit_code == 0, answer.output
    assert "w.safetensors: " in answer.output and "  weights:\n    file: w.safetensors" in answer.output


def test_names_of_classes_in_files_of_others(tmp_path: Path) -> None:
    for name, text in (
        ("a.txt", "x\ny\n"),
        ("a.json", '["x", "y"]'),
        ("b.json", '{"0": "x", "1": "y"}'),
        ("c.json", '{"y": 1, "x": 0}'),
    ):
        (tmp_path / name).write_text(text)
        assert read_names(tmp_path / name) == ("x", "y")
    for value in ([], {}, ["x", 1], {"1": "y"}, {"x": 1, "y": 1}, 3, None, "xy"):
        assert names_of(value) is None
    for name, text in (("a.txt", "\n"), ("a.json", "[1]"), ("b.json", "[")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=rf"{name}|names of classes"):
            read_names(tmp_path / name)
