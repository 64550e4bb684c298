"""A small workspace with a trained teacher, and trainings in it that stop, go on and are compared."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from benchmarks.interrupt import interrupt
from pipeline.base.paths import CODE, DATA, PLAN
from pipeline.base.signals import Stopped
from pipeline.config import params
from pipeline.config.yaml import read_yaml
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.dvc.training_state import VARIABLE
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.spec import write_specs
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.device import Device
from pipeline.training.learn import learn, open_teacher
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from pipeline.training.state import State
from tests.scratch import PARAMS

Change = Mapping[str, Any]
CPU = Device(torch.device("cpu"), torch.float32)
STAGES = graph.read(CODE / "dvc.yaml")
METHODS: dict[str, Any] = read_yaml(PARAMS)["method"]
EPOCHS = 2
# 100 images in batches of 32: four batches of 25.
SMALL: dict[str, Any] = {
    "data": {"per_class": 10},
    "labels": {"views": EPOCHS},
    "machine": {"device": "cpu", "precision": "float32", "threads": 1},
    "training": {"epochs": EPOCHS},
    # The hint's epochs count as its own.
    "method": {"fitnet": {"recipe": {"epochs": 2 * EPOCHS}}},
}


def planned(folder: Path, change: Change | None = None) -> dict[str, Any]:
    """The specs of the params.yaml that tests start from, made small and changed; it is written into `folder`."""
    raw = read_yaml(PARAMS)
    for section in (raw, raw["method"]):
        for each in section.values():
            if isinstance(each, dict) and "recipe" in each:
                each["recipe"].pop("epochs", None)
    whole = _merged(_merged(raw, SMALL), change or {})
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return build(params.read(path), STAGES)


def machine(device: str = "cpu", threads: int | None = None) -> MachineSpec:
    """A device and its threads, as plan hands them on."""
    return MachineSpec(device=device, precision="auto", threads=threads, state_every=20)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in that folder, with training state there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(VARIABLE, str(folder / "state"))
        yield


def furnish(folder: Path, change: Change | None = None) -> dict[str, Any]:
    """Data (the digits), plan and a trained teacher, in the current folder; return the specs."""
    specs = planned(folder, change)
    write_specs(specs, PLAN)
    DATA.parent.mkdir(parents=True)
    data = params.read(folder / "params.yaml").data
    prepare(data, folder / data.root, 0, DATA)
    learn(specs["teacher"])
    return specs


def changed(spec: TrainSpec, **changes: Any) -> TrainSpec:
    """The spec with another training."""
    return replace(spec, training=replace(spec.training, **changes))


def training(spec: TrainSpec, **changes: Any) -> Training:
    """A fresh training of a node by its spec, with its stage's teacher; `changes` go into the training part."""
    data = prepared.read(DATA)
    spec = with_seen_views(changed(spec, **changes), len(data.train), len(data.classes))
    teacher, _ = open_teacher(spec, data, CPU)
    return Training(spec.training, data, teacher, CPU)


def live(spec: TrainSpec) -> Training:
    """The same under a live teacher, also where labels are stored."""
    return training(spec, teaching="live", teacher_batch=32)


def validate(model: nn.Module) -> dict[str, float]:
    """As validation does, leave the network in eval mode."""
    model.eval()
    return {"accuracy": 0.5}


def run(of: Training, folder: Path) -> list[str]:
    """Train from the state in `folder` on; return what was logged."""
    folder.mkdir(parents=True, exist_ok=True)
    logged: list[str] = []
    of.run(State(folder), validate, lambda row: None, logged.append, every=1e9)
    return logged


def stopped_after(of: Training, folder: Path, steps: int) -> None:
    """Train that many steps and be stopped there by a signal."""
    interrupt(of, steps)
    with pytest.raises(Stopped):
        run(of, folder)


def tensors(of: Training) -> dict[str, Tensor]:
    """Copies of everything that is trained: networks, adapters, optimisers."""
    found = {name: tensor.clone() for name, tensor in of.trained.state_dict().items()}
    for k, optimizer in enumerate(of.optimizers):
        for index, slots in optimizer.state_dict()["state"].items():
            found |= {f"{k}.{index}.{name}": value.clone() for name, value in slots.items()}
    return found


def curves(of: Training) -> list[list[dict[str, Any]]]:
    """The rows of every network, less what the clock decides."""
    return [
        [{key: value for key, value in row.items() if key != "images_per_second"} for row in of.rows(k)]
        for k in range(len(of.learners))
    ]


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether all tensors are the same to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def digest(model: nn.Module) -> str:
    """Hash of all parameters and buffers."""
    whole = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        whole.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()


def reached(of: Training, after: Callable[[], None] = lambda: None) -> dict[str, bool]:
    """Train all epochs; for each trainable or frozen parameter, whether a gradient that is not zero ever came."""
    found = {name: False for name, _ in of.trained.named_parameters()}
    for _ in range(of.recipe.epochs):
        for _ in of.epoch():
            after()
            for name, parameter in of.trained.named_parameters():
                found[name] |= parameter.grad is not None and bool(parameter.grad.any())
        of.trained.eval()
        of.at.epoch += 1
    return found


def _merged(base: Any, change: Any) -> Any:
    """`change` over `base`, mappings within mappings."""
    if not isinstance(base, dict) or not isinstance(change, Mapping):
        return change
    return base | {key: _merged(base.get(key), value) for key, value in change.items()}
