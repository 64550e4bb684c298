"""Every method of params.yaml inside training: who learns, who does not, and what is left behind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file
from torch import nn

from pipeline.data.rows import Rows
from pipeline.lineage import node
from pipeline.models.build import rebuild
from pipeline.models.files import load_weights
from pipeline.models.taps import shapes, tapped
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.learn import learn
from pipeline.training.loop import Training
from pipeline.training.state import State, facts
from pipeline.training.teacher import LiveTeacher
from tests.training.runs import (
    CPU,
    EPOCHS,
    METHODS,
    changed,
    curves,
    digest,
    equal,
    furnish,
    inside,
    live,
    planned,
    reached,
    run,
    stopped_after,
    tensors,
    training,
)

# Parameters of the adapters from 4 and 8 channels to 32 and 64: a regressor has a bias, fsp's convolutions have none.
ADAPTED = {"fitnet_joint": 32 * (4 + 1), "hint": 32 * (4 + 1), "fsp": 32 * 4 + 64 * 8}
ROWS = Rows.on(torch.device("cpu"), np.arange(20))
STARTED = [name for name, section in METHODS.items() if section.get("initial")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="module")
def specs(folder: Path):
    with inside(folder):
        yield furnish(folder)


def live_teacher(of: Training) -> nn.Module:
    """The teacher that runs."""
    assert isinstance(of.teacher, LiveTeacher)
    return of.teacher.model


@pytest.mark.parametrize("name", METHODS)
def test_the_teacher_stays_as_it_was(specs: dict[str, Any], name: str) -> None:
    of = live(specs[f"method/{name}"])
    teacher = live_teacher(of)
    before, student = digest(teacher), digest(of.model)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())

    def evaluates() -> None:
        assert of.model.training
        assert not any(module.training for module in teacher.modules())

    reached(of, evaluates)
    of.trained.train()
    evaluates()
    assert digest(teacher) == before
    assert digest(of.model) != student
    trained = {id(tensor) for tensor in [*of.trained.parameters(), *of.trained.buffers()]}
    assert not trained & {id(tensor) for tensor in [*teacher.parameters(), *teacher.buffers()]}


@pytest.mark.parametrize("name", METHODS)
def test_all_that_should_learn_gets_gradient_and_nothing_else(specs: dict[str, Any], name: str) -> None:
    spec = specs[f"method/{name}"]
    of = training(spec)
    start = {key: tensor.clone() for key, tensor in of.model.state_dict().items()}
    found = reached(of)
    above = upper(of) if not spec.has_logits else []
    for parameter, was_reached in found.items():
        frozen = parameter.removeprefix("0.model.").split(".")[0] in above
        assert was_reached is not frozen, parameter
    for key, tensor in of.model.state_dict().items():
        assert torch.equal(tensor, start[key]) is (key.split(".")[0] in above), key
    if above:
        assert any(key.split(".")[0] in above and "running_mean" in key for key in start)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(each.numel() for each in module.parameters())


def upper(of: Training) -> list[str]:
    """Parts of the network above the last layer that the objective compares."""
    parts = [name for name, _ in of.model.named_children()]
    last = max(parts.index(layer) for layer in of.learners[0].objective.student_layers)
    return parts[last + 1 :]


def test_only_the_hint_leaves_layers_out(specs: dict[str, Any]) -> None:
    silent = [name for name in METHODS if not specs[f"method/{name}"].has_logits]
    assert silent == [name for name, each in METHODS.items() if [*each["objective"]] == ["fitnet_hint"]]
    assert "hint" in silent


@pytest.mark.parametrize("name", METHODS)
def test_it_starts_where_hard_labels_start_and_sees_the_same_batches(specs: dict[str, Any], name: str) -> None:
    hard, of = training(specs["baseline"]), training(specs[f"method/{name}"])
    assert equal(hard.model.state_dict(), of.model.state_dict())
    assert hard.spec.seed == of.spec.seed
    assert training(specs["baseline"], seed=1).model.state_dict().keys() == of.model.state_dict().keys()
    assert not equal(training(specs["baseline"], seed=1).model.state_dict(), of.model.state_dict())


@pytest.mark.parametrize("name", [name for name in METHODS if name not in STARTED])
def test_stored_labels_teach_what_a_live_teacher_teaches(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    spec = specs[f"method/{name}"]
    of = training(spec)
    if spec.training.teaching == "live":
        assert isinstance(of.teacher, LiveTeacher)
        return
    assert not isinstance(of.teacher, LiveTeacher)
    run(of, tmp_path / "stored")
    other = live(spec)
    run(other, tmp_path / "live")
    assert equal(tensors(of), tensors(other))


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_learn_and_are_saved(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    of = training(specs[f"method/{name}"])
    adapters = of.learners[0].objective
    before = {key: tensor.clone() for key, tensor in adapters.state_dict().items()}
    assert before and count(adapters) == ADAPTED[name]
    run(of, tmp_path)
    after = adapters.state_dict()
    assert not any(torch.equal(before[key], after[key]) for key in before)
    body = State(tmp_path).load(pytest.fail)
    assert body is not None and facts(body)["position"]["epoch"] == EPOCHS
    saved = load(body)
    assert equal({key: saved[f"learner.0.objective.{key}"] for key in before}, after)


@pytest.mark.parametrize("name", METHODS)
def test_its_node_is_the_plain_student(specs: dict[str, Any], name: str) -> None:
    spec = specs[f"method/{name}"]
    for each in [spec.initial, spec.node]:
        if each and not (Path("artifacts") / each / "node.json").exists():
            learn(specs[each])
    written = node.read(spec.node)
    assert written.status == "trained" and written.architecture is not None
    plain = rebuild(written.architecture)
    assert load_file(written.weights).keys() == plain.state_dict().keys()
    load_weights(plain, written.weights, "the node's weights")
    numbers = node.read_numbers(spec.node)
    assert numbers["parameters"] == count(plain)
    assert numbers["adapter_parameters"] == count(training(spec).learners[0].objective)
    assert ("predictions" in written.provides) is spec.has_logits
    assert ("predictions" in written.hashes) is spec.has_logits
    assert [item["teacher"] for item in written.lineage] == [each for each in (spec.teacher, spec.initial) if each]


@pytest.mark.parametrize("name", STARTED)
def test_a_second_stage_starts_from_the_first_ones_weights(specs: dict[str, Any], name: str) -> None:
    spec = specs[f"method/{name}"]
    frozen = replace(changed(spec, recipe=still(spec)), node="method/still")
    if not (Path("artifacts") / spec.initial / "node.json").exists():
        learn(specs[spec.initial])
    learn(frozen)
    before, after = load_file(node.read(spec.initial).weights), load_file(node.read("method/still").weights)
    for key, start in training(spec).model.named_parameters():
        torch.testing.assert_close(after[key], before[key], rtol=0, atol=1e-20)
        assert start.ndim == 1 or not torch.equal(start, after[key]) or not key.startswith("stage1")


def still(spec: TrainSpec) -> dict[str, Any]:
    """A recipe whose steps are too short to move a float."""
    return spec.training.recipe | {"lr": 1e-30, "weight_decay": 0.0}


RESUMED = [
    *((f"method/{name}", {}) for name in ("dkpp", "dkd", "fitnet", "fitnet_joint", "fsp", "hint", "rkd")),
    *(("mutual", {"update": update}) for update in ("sequential", "simultaneous")),
]


@pytest.mark.parametrize(("name", "changes"), RESUMED)
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(
    specs: dict[str, Any], tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    spec = specs[name]
    whole = training(spec, **changes)
    run(whole, tmp_path / "whole")
    steps = EPOCHS * whole.steps
    assert whole.steps == 4
    for number in range(1, steps):  # one step, a stop, one step, a stop …: the last of an epoch, too
        of = training(spec, **changes)
        if number > 1:
            torch.manual_seed(number)  # another process may have drawn; what was saved counts
        stopped_after(of, tmp_path / "stopped", 1)
        assert (of.at.epoch, of.at.step) == ((number - 1) // 4, (number - 1) % 4 + 1)
    last = training(spec, **changes)
    torch.manual_seed(0)
    logged = run(last, tmp_path / "stopped")
    assert logged == [f"going on at epoch {EPOCHS}, step 4"]
    assert equal(tensors(whole), tensors(last))
    assert curves(whole) == curves(last)
    again = training(spec, **changes)
    assert "was finished before" in run(again, tmp_path / "stopped")[0]
    assert equal(tensors(whole), tensors(again))


def weights_of(of: Training, names: tuple[str, str]) -> list[tuple[float, float, float]]:
    """Total and two unweighted losses of every step."""
    found = []
    for _ in range(of.recipe.epochs):
        for step in of.epoch():
            network = of.learners[0]
            losses = dict(zip(network.names, of.losses_SKL[step, 0].tolist(), strict=False))
            found.append((losses["loss"], losses[names[0]], losses[names[1]]))
        of.at.epoch += 1
    return found


def test_a_term_warms_up_and_another_fades_inside_training(folder: Path, specs: dict[str, Any]) -> None:
    terms = {"cross_entropy": {"weight": 1.0}, "dkd": {"weight": 2.0, "warmup": 0.5}}
    other = planned(folder, {"method": {"dkd": {"objective": terms}}})
    assert other["method/dkd"].training.objective["dkd"]["warmup"] == 0.5
    rises = [0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0]
    for (total, hard, soft), weight in zip(
        weights_of(training(other["method/dkd"]), ("cross_entropy", "dkd")), rises, strict=True
    ):
        assert total == pytest.approx(hard + weight * soft, rel=1e-5)
    falls = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]  # 0.9 to 0.1 over 8 steps; 0.1 just after the last
    for (total, hard, soft), weight in zip(
        weights_of(training(specs["method/fitnet"]), ("cross_entropy", "soft_targets")), falls, strict=True
    ):
        assert total == pytest.approx(0.1 * hard + weight * soft, rel=1e-5)


@pytest.mark.parametrize("teacher_batch", [3, 4, 8, 20, 32])
def test_a_live_teacher_shows_each_image_its_own_features(specs: dict[str, Any], teacher_batch: int) -> None:
    teacher = live_teacher(live(specs["method/soft_targets"]))
    names = ("stage1", "stage3", "embedding")
    x_BCHW = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with tapped(teacher, names) as outputs, torch.no_grad():
        t_BC = teacher(x_BCHW)
        expected = dict(outputs)
    of = LiveTeacher(teacher, CPU, teacher_batch, channels=1, size=8)
    of.tap(names)
    for _ in range(2):  # a second batch holds nothing of the first
        output = of.output(1, ROWS, x_BCHW)
        assert output.t_BC is not None and output.features.keys() == {*names}
        torch.testing.assert_close(output.t_BC, t_BC)
        for name in names:
            assert output.features[name].shape == (20, *shapes(teacher, 1, 8)[name])
            torch.testing.assert_close(output.features[name], expected[name])
    assert of.tap(()) is None and of.output(1, ROWS, x_BCHW).features == {}
