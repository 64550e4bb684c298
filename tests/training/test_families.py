"""Networks that others' code builds, one of each family: trained, saved, labelled and measured as ours are."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.paths import DATA
from pipeline.compression.export_onnx import check, export
from pipeline.compression.work import card_of
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.planning.units import code, model
from pipeline.training.learn import learn, load
from pipeline.training.norms import norms_of
from pipeline.training.state import State, facts
from tests.training import runs
from tests.training.runs import CPU, changed, equal, furnish, inside, tensors

NETWORKS = """
from torch import nn


def slow(classes, channels, width=4):
    norm = nn.BatchNorm2d(width, momentum=0.01)
    layers = [nn.Conv2d(channels, width, 3, 2, 1, bias=False), norm, nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
"""
OWN = {"family": "own", "module": "networks.py", "build": "slow", "width": 6}
# A network of each, at a size that it runs on, with momenta below torch's or as many as it has.
FAMILIES = [
    pytest.param(OWN, 8, id="own"),
    pytest.param({"family": "torchvision", "name": "mobilenet_v3_small", "pretrained": False}, 32, id="torchvision"),
    pytest.param(
        {"family": "timm", "name": "test_efficientnet", "bn_momentum": 0.01, "pretrained": False},
        32,
        id="timm",
        marks=pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="timm is an extra"),
    ),
]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("families")
    (folder / "networks.py").write_text(NETWORKS)
    with inside(folder):
        yield furnish(Path.cwd())


def of(specs: dict[str, Any], architecture: dict[str, Any], size: int) -> Any:
    """The baseline with such a network, fed images of that size by statistics of its own."""
    own = {"size": size, "mean": [0.25], "std": [0.5], "framing": "crop", "margin": 0.0}
    return changed(specs["baseline"], architecture=architecture, input=own)


@pytest.mark.long
@pytest.mark.parametrize(("architecture", "size"), FAMILIES)
def test_batch_norm_of_a_short_training_has_the_statistics_of_its_last_weights(
    architecture: dict[str, Any], size: int, specs: dict[str, Any], tmp_path: Path
) -> None:
    training = runs.training(of(specs, architecture, size))
    (learner,) = training.learners
    assert learner.momentum == 0.1 and learner.estimates_again
    runs.run(training, tmp_path)
    # By hand: each layer normalises by its own batch, and nothing else is as in training.
    norms = norms_of(training.model)
    found = {name: norm.running_mean.clone() for name, norm in norms.items() if norm.running_mean is not None}
    means: dict[str, list[torch.Tensor]] = {name: [] for name in norms}
    for name, norm in norms.items():

        def note(_: nn.Module, inputs: tuple[torch.Tensor], name: str = name) -> None:
            means[name].append(inputs[0].mean((0, 2, 3)))

        norm.train().register_forward_pre_hook(note)
    training.at.epoch = 0
    with torch.no_grad():
        for batch in training._batches(0):
            learner.forward(batch.x_BCHW)
    assert found
    for name, mean_C in found.items():
        torch.testing.assert_close(mean_C, torch.stack(means[name]).mean(0), rtol=1e-3, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(("architecture", "size"), FAMILIES)
def test_stopped_anywhere_it_ends_bit_for_bit_the_same_and_its_library_stands_in_the_state(
    architecture: dict[str, Any], size: int, specs: dict[str, Any], tmp_path: Path
) -> None:
    spec = of(specs, architecture, size)
    whole = runs.training(spec)
    runs.run(whole, tmp_path / "whole")
    runs.stopped_after(runs.training(spec), tmp_path / "part", 3)
    again = runs.training(spec)
    logged = runs.run(again, tmp_path / "part")
    assert equal(tensors(again), tensors(whole)) and logged == ["going on at epoch 1, step 4"]
    body = State(tmp_path / "part").load(pytest.fail)
    assert body is not None
    assert (architecture["family"] in facts(body)["environment"]) == (architecture["family"] != "own")


@pytest.mark.long
@pytest.mark.parametrize(("architecture", "size"), FAMILIES)
def test_its_node_has_the_flops_of_its_layers_and_its_file_its_answers(
    architecture: dict[str, Any], size: int, specs: dict[str, Any], tmp_path: Path
) -> None:
    learn(of(specs, architecture, size))
    made = node.read("baseline")
    assert made.made_by and made.made_by["precision"] == "float32"
    net, data = load(made, CPU).eval(), prepared.read(DATA)
    counted: list[int] = []

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        weight = module.get_parameter("weight")
        counted.append(2 * output[0].numel() * weight[0].numel())

    for each in net.modules():
        if isinstance(each, nn.Conv2d | nn.Linear):
            each.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 1, size, size))
    assert node.read_numbers("baseline")["flops"] == sum(counted)
    export(load(made, CPU), tmp_path / "model.onnx", card_of(made, data))
    against = check(tmp_path / "model.onnx", load(made, CPU), data.test.images)
    assert against["agreement"] == 1.0 and against["maximal_difference"] < 1e-3


def test_the_code_of_the_user_is_in_the_spec_by_its_file(specs: dict[str, Any]) -> None:
    before = code(model(OWN))
    file = Path("networks.py")
    file.write_text(f"# as it was\n{NETWORKS}")
    assert code(model(OWN)) == before
    file.write_text(NETWORKS.replace("0.1)", "0.2)"))
    assert code(model(OWN))["own networks.py"] != before["own networks.py"]
    file.write_text(NETWORKS)
