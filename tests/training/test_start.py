"""A network of the lineage begins with a file of weights, or is one; what it begins with is what the file holds."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config import params
from pipeline.data import prepared
from pipeline.dvc.training_state import state_root
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.build import build
from pipeline.models.fit import last_layer
from pipeline.planning.specs.training import WeightsFile
from pipeline.training import start
from pipeline.training.chance import guessing
from pipeline.training.key import key
from pipeline.training.learn import learn
from tests.training import runs
from tests.training.runs import equal, furnish, inside, tensors

GOOD = {"teacher": {"recipe": {"epochs": 6}}}
NAMES = [str(digit) for digit in (3, 0, 4, 1, 5, 9, 2, 6, 7, 8)]
Change = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a teacher that is well above chance, and files of its weights and of the student's."""
    folder = tmp_path_factory.mktemp("start")
    with inside(folder):
        specs = furnish(folder, GOOD)
        learn(specs["baseline"])
        for name, of in (("teacher", "teacher"), ("student", "baseline")):
            (folder / f"{name}.safetensors").write_bytes(node.read(of).weights.read_bytes())
    return folder


@pytest.fixture(autouse=True)
def within(folder: Path) -> Iterator[None]:
    with inside(folder):
        yield


def given(name: str = "student", **more: Any) -> dict[str, Any]:
    """What params.yaml says of a file."""
    path = Path(f"{name}.safetensors")
    return {"file": str(path), "sha256": files.sha256(path), **more}


def specs(change: Change) -> dict[str, Any]:
    return runs.planned(Path(), runs._merged(GOOD, change))


def imported(**more: Any) -> Any:
    """The spec of a teacher that is a file."""
    return replace(specs({"teacher": {"weights": given(**{"name": "teacher", **more})}})["teacher"], node="method/a")


def written(name: str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    save_file({key: each.contiguous() for key, each in tensors.items()}, f"{name}.safetensors", metadata)


def permuted(name: str, metadata: dict[str, str] | None = None) -> None:
    """The teacher with the rows of its last layer in the order of NAMES."""
    order = [int(each) for each in NAMES]
    whole = load_file("teacher.safetensors")
    written(name, {key: each[order] if key.startswith("linear.") else each for key, each in whole.items()}, metadata)


FILE: dict[str, Any] = {"file": "a.safetensors", "sha256": "0" * 64}
REFINERY = {f"refinery/g{number}" for number in (1, 2, 3)}
# Who begins with the file, where it is given there.
BEGINNERS: list[tuple[Change, set[str]]] = [
    ({"teacher": {"initial": FILE}}, {"teacher", *(f"born_again/g{number}" for number in (1, 2, 3))}),
    (
        {"baseline": {"initial": FILE}},
        {"baseline", "method/unlimited", *REFINERY},
    ),
    ({"direct": {"initial": FILE}}, {"direct"}),
    ({"method": {"dkd": {"initial": FILE}}}, {"method/dkd"}),
    ({"assistant": {"initials": {"t1": FILE}}}, {"assistant/t1"}),
    ({"refinery": {"initial": FILE}}, REFINERY),
    ({"mutual": {"initials": {"p1": FILE}}}, {"mutual"}),
    ({"compress": {"steps": {"distil": {"initial": FILE}}}}, {"compress/c1"}),
]


def begins(spec: Any) -> bool:
    return getattr(getattr(spec, "training", None), "initial_file", None) is not None


@pytest.mark.parametrize(("change", "names"), BEGINNERS, ids=[next(iter(change)) for change, _ in BEGINNERS])
def test_any_network_of_the_lineage_may_begin_with_a_file(change: Change, names: set[str]) -> None:
    found, default = specs(change), specs({})
    assert {name for name, spec in found.items() if begins(spec)} == names
    assert not any(begins(spec) for spec in default.values())
    for name, spec in found.items():
        assert (spec != default[name]) is (name in names), "nobody else is trained again"
        if name in names:
            assert spec.training.initial_file == WeightsFile(**FILE)
            assert "start" in spec.code["training"] and "start" in spec.code["stage"], "its code decides the weights"


def test_whoever_is_like_the_student_begins_as_it_does_unless_it_has_another_network() -> None:
    method = {"dkd": {"architecture": {"family": "plain", "widths": [4, 4]}}, "dist": {"initial": None}}
    found = specs({"student": {"initial": FILE}, "method": method})
    names = {name for name, spec in found.items() if begins(spec)}
    assert {"student", "baseline", "direct", "method/pkt", "method/hint", "refinery/g1"} <= names
    assert not {"method/dkd", "method/dist", "compress/c1", "teacher", "assistant/t1"} & names
    # What begins with the weights of another method has them of there.
    assert found["method/fitnet"].initial == "method/hint" and "method/fitnet" not in names


# At this rate a step changes no weight of 32 bits.
STILL = {"recipe": {"lr": 1e-30}}


@pytest.mark.parametrize(
    ("name", "of"),
    [("baseline", "baseline"), ("method/dkd", "method/dkd"), ("mutual", "mutual/members/2"), ("teacher", "teacher")],
)
def test_it_begins_with_the_weights_of_the_file(name: str, of: str) -> None:
    file = "teacher" if name == "teacher" else "student"
    section: Change = {"initials": {"p2": given(file)}} if name == "mutual" else {"initial": given(file)}
    for each in reversed(name.split("/")):
        section = {each: {**section, **({} if each == "method" else STILL)}}
    spec = specs(section)[name]
    learn(replace(spec, node=(moved := of.replace(name, "method/begun"))[: len("method/begun")]))
    made, whole = node.read(moved), load_file(f"{file}.safetensors")
    weights = {key for key in whole if "running" not in key and "num_batches" not in key}
    assert equal({key: load_file(made.weights)[key] for key in weights}, {key: whole[key] for key in weights})
    assert made.status == "trained"
    assert made.began_with == given(file)["sha256"]
    if name == "mutual":
        assert node.read("method/begun/members/1").began_with is None


def test_its_new_last_layer_is_the_seed_s_and_the_rest_is_the_file_s() -> None:
    spec = specs({"baseline": {"initial": given(head="new")}})["baseline"]
    whole = load_file("student.safetensors")
    found, again, other = (
        runs.training(spec, seed=seed).model.state_dict() for seed in (spec.training.seed, spec.training.seed, 77)
    )
    for name, tensor in whole.items():
        is_new = name.startswith("linear.")
        assert torch.equal(found[name], again[name]) and torch.equal(found[name], tensor) != is_new
        assert torch.equal(found[name], other[name]) != is_new


def test_a_new_last_layer_begins_as_torchs_own_whatever_the_family_does() -> None:
    """Else its first answers are so wrong that features which were trained are spoilt."""
    pytest.importorskip("timm")
    architecture = {"family": "timm", "name": "tf_efficientnet_lite0"}
    model = build(architecture, channels=3, size=32, classes=3)
    name = last_layer(model)
    assert name is not None
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    bound = layer.in_features**-0.5
    assert layer.weight.abs().max() > 10 * bound, "what is tested here would be so without"
    written("of timm", build(architecture, channels=3, size=32, classes=5).state_dict())  # which are others
    start.begin(model, WeightsFile(**given("of timm", head="new")), ["a", "b", "c"])
    assert 0.9 * bound < layer.weight.abs().max() <= bound and layer.bias.abs().max() <= bound


def test_another_file_is_another_training_and_a_moved_one_is_the_same() -> None:
    one = specs({"baseline": {"initial": given()}})["baseline"]
    one = replace(one, node="method/keyed")
    learn(one)
    before = node.read("method/keyed")
    Path("elsewhere.safetensors").write_bytes(Path("student.safetensors").read_bytes())
    learn(runs.changed(one, initial_file=replace(one.training.initial_file, file="elsewhere.safetensors")))
    assert node.read("method/keyed") == before
    assert len([*(state_root() / "method/keyed").iterdir()]) == 1
    whole = load_file("student.safetensors")
    written("other", {key: each + 0.01 if each.is_floating_point() else each for key, each in whole.items()})
    learn(runs.changed(one, initial_file=WeightsFile(**given("other"))))
    assert node.read("method/keyed").hashes["weights"] != before.hashes["weights"]
    learn(runs.changed(one, initial_file=replace(one.training.initial_file, head="new")))
    assert len([*(state_root() / "method/keyed").iterdir()]) == 3


def test_of_several_networks_each_file_counts_by_its_content() -> None:
    def key_of(**given: Any) -> str:
        return key(specs({"mutual": {"initials": {"p2": FILE | given}}})["mutual"].training.as_json(), {}, "", [])

    assert key_of() == key_of(file="b.safetensors") != key_of(sha256="1" * 64)


def test_stopped_anywhere_it_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    spec = specs({"baseline": {"initial": given(head="new")}})["baseline"]
    whole = runs.training(spec)
    runs.run(whole, tmp_path / "whole")
    runs.stopped_after(runs.training(spec), tmp_path / "part", 3)
    again = runs.training(spec)
    runs.run(again, tmp_path / "part")
    assert equal(tensors(again), tensors(whole))


def test_a_permuted_last_layer_is_put_right_by_the_names_of_its_classes(tmp_path: Path) -> None:
    source = node.read_numbers("teacher")["validation"]["accuracy"]
    permuted("permuted")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    for classes in (NAMES, str(tmp_path / "names.txt")):
        learn(imported(name="permuted", classes=classes))
        assert node.read_numbers("method/a")["validation"]["accuracy"] == source
        assert torch.equal(
            read_predictions(node.read("method/a"))["test"], read_predictions(node.read("teacher"))["test"]
        )
    assert node.read("method/a").status == "imported"
    assert node.read("method/a").began_with == given("permuted")["sha256"]
    # And by the names that the file has itself.
    permuted("named", {"classes": json.dumps(NAMES)})
    learn(imported(name="named"))
    assert node.read_numbers("method/a")["validation"]["accuracy"] == source


def test_a_permuted_last_layer_without_names_is_refused_as_guessing() -> None:
    permuted("unnamed")
    with pytest.raises(UserError, match=r"is right for [\d.]+ % of \d+ validation images, which is not above") as said:
        learn(imported(name="unnamed"))
    for reason in (r"teacher.input: it is fed 8 pixels, mean 0.", "teacher.weights.classes: not given"):
        assert reason in str(said.value)
    assert "\n" not in str(said.value)


def test_what_it_reaches_is_printed_and_less_than_expected_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    reached = node.read_numbers("teacher")["validation"]["accuracy"]
    learn(imported(expect=reached))
    assert f"teacher.weights: {100 * reached:.1f} % of the validation images are right" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"images, where teacher\.weights\.expect is 0\.\d+: look at its normalisation"):
        learn(imported(expect=round(reached + 0.01, 3)))


def test_guessing_is_the_largest_class_and_two_deviations() -> None:
    labels_N = torch.tensor([0] * 50 + [1] * 50).numpy()
    assert guessing(labels_N) == pytest.approx(0.5 + 2 * 0.05)
    assert guessing(labels_N[::25]) >= 1, "so few show nothing, and nothing is refused"


def test_so_few_images_that_nothing_is_shown_refuse_nothing() -> None:
    data = prepared.read(DATA)
    few = replace(data, validation=replace(data.validation, labels=data.validation.labels[:1]))
    wrong_NC = torch.nn.functional.one_hot(torch.tensor([(int(few.validation.labels[0]) + 1) % 10]), 10).float()
    start.check_reached(WeightsFile(**FILE), wrong_NC, few, None, False)


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "missing": (
        lambda: {"file": "nowhere.safetensors", "sha256": "0" * 64},
        r"^params\.yaml: initial\.file is 'nowhere\.safetensors', but there is no file /",
    ),
    "changed": (
        lambda: given() | {"sha256": "0" * 64},
        r"^params\.yaml: initial\.sha256 is not that of .*student\.safetensors, which is [0-9a-f]{64}$",
    ),
    "another architecture": (
        lambda: given("teacher"),
        r"^initial: .*teacher\.safetensors lacks .*another archi",
    ),
    "unknown classes": (lambda: given(classes=[*"abcdefghij"]), r"does not know 10 of the 10 classes"),
    "no safetensors": (lambda: text(), r"is not a whole safetensors file .*`python -m pipeline import` makes one"),
}


def text() -> dict[str, Any]:
    Path("text.safetensors").write_text("weights")
    return given("text")


@pytest.mark.parametrize("what", FAULTS)
def test_what_is_wrong_with_a_file_is_one_sentence(what: str) -> None:
    make, sentence = FAULTS[what]
    with pytest.raises(UserError, match=sentence) as said:
        runs.training(specs({"baseline": {"initial": make()}})["baseline"])
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"teacher": {"weights": FILE | {"head": "new"}}},
            r"teacher\.weights\.head is new, .* give `initial` in place of `weights`",
        ),
        (
            {"teacher": {"weights": FILE, "initial": FILE}},
            r"teacher: takes one of weights, .* or `initial`, .* not weights and initial",
        ),
        ({"student": {"initial": "hint"}}, r"student\.initial: must be a mapping"),
        ({"student": {"initial": FILE | {"expect": 0.5}}}, r"student\.initial: unknown key 'expect'"),
        ({"student": {"initial": FILE | {"classes": ["a"], "head": "new"}}}, r"initial\.classes has no effect"),
        ({"teacher": {"weights": FILE | {"expect": 95}}}, r"teacher\.weights\.expect: must be less than or equal to 1"),
        ({"teacher": {"weights": FILE | {"classes": "no.txt"}}}, r"names of classes cannot be read from .*no\.txt"),
        ({"mutual": {"initials": {"p9": FILE}}}, r"mutual: initials: unknown network 'p9'"),
        ({"assistant": {"initials": {"t9": FILE}}}, r"assistant: initials: unknown network 't9'"),
        ({"method": {"dkd": {"initial": {"file": "a"}}}}, r"method\.dkd\.initial\.sha256: is missing"),
    ],
    ids=str,
)
def test_what_is_wrong_in_params_yaml_is_one_sentence(change: Change, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        specs(change)


def test_pretrained_weights_that_a_file_replaces_are_refused() -> None:
    specs({})
    raw = yaml.safe_load(Path("params.yaml").read_text())
    vision = {"family": "torchvision", "name": "resnet18", "pretrained": True}
    raw["assistant"] |= {"architectures": {"t1": vision}, "initials": {"t1": FILE}}
    with pytest.raises(
        UserError, match=r"assistant\.architectures\.t1\.pretrained has no effect where assistant\.initials"
    ):
        params.check(raw, "params.yaml")
    raw["assistant"] |= {"initials": {}}
    params.check(raw, "params.yaml")
    raw["student"] |= {"architecture": vision, "initial": FILE}
    with pytest.raises(UserError, match=r"student\.architecture\.pretrained has no effect where student\.initial"):
        params.check(raw, "params.yaml")
