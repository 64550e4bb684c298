"""Every kind of training that params.yaml can ask for, small: what must be right on a GPU."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import world
from benchmarks.gpu.setting import EPOCHS, MIXED, VIEWS, Setting
from benchmarks.interrupt import interrupt
from pipeline.base.paths import CODE
from pipeline.base.signals import Stopped
from pipeline.compression.prune import Masks, magnitude
from pipeline.config.input import Input
from pipeline.config.term import complete_term
from pipeline.config.views import Views
from pipeline.config.yaml import read_yaml
from pipeline.models.fake_quantise import fake_quantise
from pipeline.models.files import load_weights, save_weights
from pipeline.planning.specs.training import NetworkSettings
from pipeline.training.device import Device
from pipeline.training.learner import AfterStep, InitWeights
from pipeline.training.loop import Training
from pipeline.training.state import State
from pipeline.training.teacher import NoTeacher, StoredLabels, Teacher

Build = Callable[[Device], Training]
Objective = dict[str, Any]


def training(
    setting: Setting,
    on: Device,
    objective: Objective = world.HARD,
    teacher: Teacher | None = None,
    *,
    network: dict[str, Any] | None = None,
    init_weights: InitWeights | None = None,
    optimizer: str = "sgd",
    further: dict[str, Any] | None = None,
    views: dict[str, Any] = VIEWS,
    encoded: bool = False,
    **more: Any,
) -> Training:
    """Two epochs of six steps; `further` goes into the recipe, `more` into the spec. encoded: on `photographs`."""
    recipe = {"epochs": EPOCHS, "batch_size": setting.sizes.batch, "lr": 0.01, "weight_decay": 5e-4}
    recipe |= {"optimizer": optimizer, **(further or {})}
    # Another seed than the teacher's: a student that begins as its teacher has nothing to learn.
    spec = world.settings(network or setting.network, objective, recipe, views, seed=1, **more)
    data = setting.photographs if encoded else setting.data
    return Training(spec, data, teacher or NoTeacher(), on, init_weights)


def arms(setting: Setting) -> dict[str, Build]:
    """Each kind by its name, those that the sizes ask for."""
    make = partial(training, setting)
    params = read_yaml(CODE / "params.yaml")
    found: dict[str, Build] = {
        "hard": make,
        "hard, adamw": partial(make, optimizer="adamw"),
        "stored": lambda on: make(on, world.SOFT, StoredLabels(setting.labels(on, "dense"), on)),
        "stored, topk": lambda on: make(on, world.SOFT, StoredLabels(setting.labels(on, "topk"), on)),
    }
    for name, method in params["method"].items():
        objective, after_hint = _complete(method["objective"]), "initial" in method
        found[f"live {name}"] = lambda on, objective=objective, after_hint=after_hint: make(
            on, objective, setting.live(on), init_weights=hinted(setting) if after_hint else None
        )
    balanced = _complete({"cross_entropy": {"weight": 1.0}, "soft_targets": {"balance": 3.0}})
    found["live, balanced"] = lambda on: make(on, balanced, setting.live(on))
    both = _complete({"cross_entropy": {"weight": 1.0}, "soft_targets": {"weight": 1.0}})
    found["live, mixed"] = lambda on: make(on, both, setting.live(on), views=MIXED)
    # The teacher is shown the very crop at another size, in another framing.
    large = Input(3 * setting.sizes.edge // 2, (0.4,) * 3, (0.3,) * 3, "squash", 0.1)
    found["live, encoded, mixed"] = lambda on: make(
        on, both, setting.live(on, large), views={**MIXED, "ratio": 1.5}, encoded=True
    )
    for word in ("standard", "strong"):
        views = Views(preset=word).model_dump()
        found[f"encoded, {word}"] = partial(make, views=views, encoded=True)
    objective = _complete(params["mutual"]["objective"])
    peers = tuple(NetworkSettings(architecture=setting.network, objective=objective, seed=k) for k in (1, 2))
    for update in ("sequential", "simultaneous"):
        found[f"mutual {update}"] = partial(make, members=peers, update=update)
    tuned = {"freeze": "stage1", "head_lr": 0.02, "layer_decay": 0.5, "decay_norms": False, "ema": 0.9, "keep": "best"}
    for name in ("sgd", "adamw"):
        found[f"fine-tuned, {name}"] = partial(make, optimizer=name, further=tuned)
    found["linear probe"] = partial(make, further={"freeze": "embedding"})
    found["in parts"] = partial(make, further={"accumulate": 3, "clip": 1.0, "ema": 0.9})
    found["mutual, in parts"] = partial(make, members=peers, update="sequential", further={"accumulate": 2, "ema": 0.9})
    for name in ("sgd", "adamw"):
        found[f"float16, {name}"] = lambda on, name=name: make(
            replace(on, dtype=torch.float16), optimizer=name, further={"clip": 1.0}
        )
    found["on grids"] = partial(make, init_weights=on_grids)
    found["wide, dropout"] = partial(make, network={"family": "wide", "depth": 10, "widen": 1, "dropout": 0.3})
    found["plain"] = partial(make, network={"family": "plain", "widths": [8, 16]})
    found["separable"] = partial(make, network={"family": "separable"})
    chosen = setting.sizes.arms or (*found,)
    return {name: found[name] for name in chosen}


def _complete(objective: Objective) -> Objective:
    """With all defaults, and no warm-up: at the first step a term that rises would weigh nothing."""
    return {name: complete_term(name, settings, name) | {"warmup": 0.0} for name, settings in objective.items()}


def on_grids(model: nn.Module) -> AfterStep | None:
    """Prune half of the weights, and let the rest learn on grids of 4 bits."""
    magnitude(model, sparsity=0.5).enforce(model)
    fake_quantise(model, 4, 8)
    return Masks.of_zeros(model).keeper(model)


def hinted(setting: Setting) -> InitWeights:
    """Start from the weights that a hint left on the CPU, so that all devices start alike."""
    path = setting.folder / "hint.safetensors"
    if not path.exists():
        on = setting.cpu()
        objective = _complete(read_yaml(CODE / "params.yaml")["method"]["hint"]["objective"])
        of = training(setting, on, objective, setting.live(on))
        next(world.epochs(of))
        save_weights(of.model, path)
    return partial(load_weights, path=path, what="the hint's weights")


def bits(of: Training) -> dict[str, Tensor]:
    """Copies of all that was trained, of networks, adapters and optimisers, and the losses."""
    found = {name: tensor.detach().cpu().clone() for name, tensor in of.trained.state_dict().items()}
    for k, optimizer in enumerate(of.optimizers):
        for index, slots in optimizer.state_dict()["state"].items():
            found |= {f"optimizer {k} {index} {name}": value.cpu().clone() for name, value in slots.items()}
    return found | {"losses": of.losses_SKL.cpu().clone()}


def finished(of: Training, folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Train to the end from the state in `folder` on; the bits, and what was printed."""
    folder.mkdir(parents=True, exist_ok=True)
    printed: list[str] = []
    of.run(State(folder), lambda model: {}, lambda row: None, printed.append, every=1e9)
    return bits(of), printed


def stopped(of: Training, folder: Path, steps: int) -> None:
    """Train that many steps, be asked to stop as a scheduler asks, and leave the state in `folder`."""
    interrupt(of, steps)
    try:
        finished(of, folder)
    except Stopped:
        torch.manual_seed(99)  # what goes on must not owe anything to the generators of this process
        return
    raise AssertionError("a training that was asked to stop went on to its end")
