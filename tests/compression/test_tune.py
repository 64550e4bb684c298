"""Where tuning starts: the weights of the node before, what is zero kept so, and grids where bits are given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.files import sha256
from pipeline.compression.prune import magnitude
from pipeline.compression.steps import tune
from pipeline.compression.work import Work
from pipeline.lineage.node import Node
from pipeline.models.build import rebuild
from pipeline.models.fake_quantise import InputGrid
from pipeline.models.files import save_weights
from pipeline.planning.specs.compress import TrainStepSpec
from pipeline.planning.specs.training import GridSettings
from tests.compression.chains import ordered
from tests.compression.nets import ARCHITECTURES, CHANNELS, CLASSES, SIZE, trained
from tests.compression.test_work import work

ARCHITECTURE = {**ARCHITECTURES[0], "channels": CHANNELS, "size": SIZE, "classes": CLASSES}


def begun(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bits: GridSettings | None
) -> tuple[nn.Module, Any, dict[str, Any]]:
    """A fresh network as tuning begins with it, what it calls after each step, and the architecture of the node."""
    monkeypatch.chdir(folder)
    pruned = trained(ARCHITECTURES[0])
    magnitude(pruned, sparsity=0.5).enforce(pruned)
    previous = Node("compress/c1", "computed", format="safetensors", architecture=ARCHITECTURE)
    save_weights(pruned, previous.weights)
    previous.hashes["weights"] = sha256(previous.weights)
    torch.manual_seed(9)
    model = rebuild(ARCHITECTURE)
    kept: list[Any] = []

    def train(spec: TrainStepSpec, data: Any, device: Any, begin: Any) -> tuple[str]:
        kept.append(begin(model))
        return ("result",)

    monkeypatch.setattr(tune, "train", train)
    of = work(5)
    spec = ordered(folder, ["tune"])["compress/c1"]
    spec = replace(spec, training=replace(spec.training, bits=bits))
    of = Work(spec, of.data, of.device, of.views, previous)
    made = tune.run(of, **of.settings)
    return model, kept[0], made.architecture


def test_it_starts_from_the_node_before_and_zeros_stay_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, keep, architecture = begun(tmp_path, monkeypatch, None)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    weights = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    assert sum(int((before[name] == 0).sum()) for name in weights) == sum(before[name].numel() for name in weights) // 2
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)  # as a step of an optimiser would
    keep()
    for name in weights:
        expected = torch.where(before[name] == 0, 0, before[name] + 1)
        assert torch.equal(model.get_parameter(name), expected), name
    assert "grids" not in architecture


def test_on_grids_zeros_stay_zero_too_and_the_node_says_which_grids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = GridSettings(weight_bits=4, activation_bits=8)
    model, keep, architecture = begun(tmp_path, monkeypatch, bits)
    assert architecture["grids"] == {"weight_bits": 4, "activation_bits": 8}
    assert any(isinstance(module, InputGrid) for module in model.modules())
    weight = model.get_parameter("stage1.0.parametrizations.weight.original")
    zeros = weight == 0
    assert zeros.any()
    with torch.no_grad():
        weight.add_(1)
    keep()
    assert torch.equal(weight == 0, zeros)
