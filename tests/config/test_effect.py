"""A key of params.yaml counts, or is refused: all keys of all sections, steps, terms and families are tried.

What has an effect is not read from the rule that is tested: the code that uses a key is run with two values of it.
"""

import copy
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.config.compress import Step
from pipeline.config.extension import FAMILIES, OBJECTIVES, OPTIMIZERS, STEPS
from pipeline.config.network import complete_architecture
from pipeline.config.recipe import Recipe
from pipeline.config.term import complete_term
from pipeline.objectives.compose import OPTIONAL
from pipeline.training.recipe import learning_rate, optimizer
from tests.compression.nets import CLASSES, DATA, images, trained
from tests.config.effects import (
    GIVEN,
    Refusal,
    Settings,
    agrees,
    digest,
    everything,
    flattened,
    lookup,
    planned,
    refusing,
    values,
    with_key,
)

# How, and not what: no result depends on these.
EXCEPTIONS = {"data.root", "data.download", "data.links"}
HOW = "machine"
IDLE = r"params\.yaml: {path} has no effect where .*: (set|name) .*, or leave {key} out"


def test_all_keys_of_params_yaml_are_among_those_that_are_tried() -> None:
    known, names = everything(), {"family", "layers", "budget"}  # a file's, of the network's layers, or tested apart
    for path in flattened(GIVEN):
        within = [path.rsplit(".", cut)[0] for cut in range(path.count(".") + 1)]
        assert {*within} & {*known} or {*path.split(".")} & names, path


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    return planned(GIVEN)


EDGES = "edges"  # names of nodes, of which tests/planning/test_parts.py tries each
SECTIONS = sorted({path.partition(".")[0] for path in everything()} - {HOW, EDGES})


QUICK = ("labels", "teacher")


@pytest.mark.parametrize(
    "section", [each if each in QUICK else pytest.param(each, marks=pytest.mark.long) for each in SECTIONS]
)
def test_each_key_alone_changes_the_plan_or_is_refused(section: str, default: dict[str, Any]) -> None:
    """Steps that the order does not name are kept for later, and change nothing."""
    steps, order = GIVEN["compress"]["steps"], GIVEN["compress"]["order"]
    later = tuple(f"compress.steps.{name}." for name in steps if name not in order)
    complete = params.check(GIVEN, "params.yaml").model_dump(mode="json", by_alias=True)
    tried = 0
    for path, field in everything().items():
        key = path.rpartition(".")[2]
        if path.split(".")[0] != section or path in EXCEPTIONS or path.startswith(later):
            continue
        possible = values(field)
        for value in [*possible[:1], *possible[-1:]]:
            if value == (GIVEN["seeds"]["train"] if key == "seed" else lookup(complete, path)):
                continue
            tried += 1
            try:
                found = planned(with_key(path, value))
            except UserError as error:
                told = str(error)
                assert "no effect" not in told or re.fullmatch(IDLE.format(path=re.escape(path), key=key), told), told
            else:
                assert found != default, f"{path}: {value!r} is accepted and ignored"
    assert tried


@pytest.mark.parametrize("name", [name for name in FAMILIES.names() if name not in ("own", "timm", "torchvision")])
def test_a_key_of_a_family_is_refused_exactly_where_it_builds_the_same_network(name: str) -> None:
    def trace(settings: Settings) -> str:
        module = importlib.import_module(f"pipeline.models.{name}")
        return str(module.build(**DATA, classes=CLASSES, **settings))

    def read(settings: Settings) -> None:
        complete_architecture({"family": name, **settings})

    idle = agrees(FAMILIES.settings(name).model_fields, {}, refusing(read), trace)
    assert idle > 0 if name == "separable" else idle == 0


SIGNALS: dict[str, Any] = {
    **dict.fromkeys(OPTIONAL),
    "z_BC": torch.randn(6, 4, generator=torch.Generator().manual_seed(1)),
    "t_BC": torch.randn(6, 4, generator=torch.Generator().manual_seed(2)),
    "y_B": torch.tensor([0, 1, 2, 3, 0, 1]),
    "peers": [torch.randn(6, 4, generator=torch.Generator().manual_seed(number)) for number in (3, 4)],
}
VECTORS = [[torch.randn(6, 5, generator=torch.Generator().manual_seed(number))] for number in (5, 6)]
MAPS = [[torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(n + k)) for k in (0, 9)] for n in (5, 6)]


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_key_of_a_term_is_refused_exactly_where_it_leaves_the_loss_as_it_is(name: str) -> None:
    declared = OBJECTIVES.settings(name).model_fields
    layers = VECTORS if OBJECTIVES.constant(name, "LAYERS") == "embedding" else MAPS
    signals = {**SIGNALS, "student": layers[0], "teacher": layers[1]}

    def trace(settings: Settings) -> str:
        module = importlib.import_module(f"pipeline.objectives.{name}")
        handed = OBJECTIVES.handed(name, signals)
        if function := getattr(module, name, None):
            return digest(function(*handed, **settings))
        torch.manual_seed(0)
        shapes = [[each.shape[1:] for each in side] for side in layers]
        (made,) = [value for key, value in vars(module).items() if key.lower() == name.replace("_", "")]
        return digest(made(*shapes, **settings)(*handed))

    def read(settings: Settings) -> None:
        complete_term(name, settings, name)

    strict = {"strict"}  # it refuses networks, and is no part of the loss
    idle = agrees({key: field for key, field in declared.items() if key not in strict}, {}, refusing(read), trace)
    assert (idle > 0) == (name in ("rkd", "dkd", "dist"))


def test_a_key_of_a_recipe_is_refused_exactly_where_it_trains_the_same() -> None:
    start: Settings = {"epochs": 3, "batch_size": 2, "lr": 0.1}
    # What needs a network, its validation or classes is tried by tests/training/test_kept.py, test_frozen.py,
    # test_rates.py and test_unequal.py.
    whole_training = {"keep", "patience", "freeze", "ema", "accumulate", "class_weights", "sampling"}
    beside = {"optimizer", *start, *whole_training}
    declared = {key: field for key, field in Recipe.model_fields.items() if key not in beside}
    for name in OPTIMIZERS.names():
        declared |= OPTIMIZERS.settings(name).model_fields

    for name in OPTIMIZERS.names():

        def trace(settings: Settings, name: str = name) -> str:
            recipe = Recipe.model_validate({**settings, "optimizer": name})
            weight = nn.Linear(3, 2)
            nn.init.constant_(weight.weight, 0.5)
            nn.init.constant_(weight.bias, 0.5)
            chosen = optimizer(recipe, weight, torch.device("cpu"), [[each] for each in weight.parameters()])
            for step in range(9):
                for group in chosen.param_groups:
                    group["lr"] = learning_rate(recipe, step, 9) * group.get("scale", 1.0)
                chosen.zero_grad()
                (weight(torch.ones(2, 3)) * (step - 3)).square().sum().backward()
                if recipe.clip:
                    nn.utils.clip_grad_norm_(weight.parameters(), recipe.clip)
                chosen.step()
            return digest(weight.weight, weight.bias)

        def read(settings: Settings, name: str = name) -> None:
            plain = {key: value for key, value in GIVEN["training"].items() if key != "weight_decay"}
            whole = {**GIVEN, "training": plain, "method": {}, "compress": {"steps": {}}}
            params.check(with_key("teacher.recipe", {**settings, "optimizer": name}, whole), "params.yaml")

        assert agrees(declared, start, refusing(read), trace) > 0


def test_what_validation_decides_needs_logits() -> None:
    """A hint has none; what `training` gives to all may stand there, too."""
    for key, value in (("keep", "best"), ("patience", 3)):
        path = f"method.hint.recipe.{key}"
        with pytest.raises(UserError, match=IDLE.format(path=re.escape(path), key=key)):
            planned(with_key(path, value))
        assert planned(with_key(f"training.{key}", value))["method/hint"]["training"]["recipe"][key] == value
        assert planned(with_key(f"method.rkd.recipe.{key}", value))["method/rkd"]["training"]["recipe"][key] == value


def test_no_spec_has_a_key_of_a_recipe_that_stands_at_its_default(default: dict[str, Any]) -> None:
    """What was trained before there were such keys is not trained again."""
    later = {"keep": "last", "patience": None, "freeze": None, "head_lr": None, "layer_decay": None}
    later |= {"decay_norms": True, "ema": None, "accumulate": 1}
    recipes = [each["training"]["recipe"] for each in default.values() if each.get("training")]
    assert recipes and not any({*recipe} & {*later} for recipe in recipes)
    for key, value in later.items():
        assert planned(with_key(f"training.{key}", value)) == default, key


class Bench:
    """Stands for the work of a step: a network, and images."""

    def __init__(self, grids: Settings | None = None) -> None:
        self.net = trained({"family": "plain", "widths": [6, 12]})
        self.previous = SimpleNamespace(architecture={"grids": grids} if grids else {}, source="x", weights=Path("x"))
        self.spec = SimpleNamespace(step="x", training=None)
        self.card = None
        self.of_images = DATA

    def images(self, split: str) -> None:
        """Nothing is asked of them."""

    def model(self, *device: object) -> nn.Module:
        return copy.deepcopy(self.net)

    def batches(self, count: int, *, normalised: bool = True) -> Iterator[torch.Tensor]:
        return (images(8, seed) for seed in range(count))


def reading(kind: str) -> Refusal:
    return refusing(lambda settings: Step.model_validate({"kind": kind, **settings}))


STARTS: dict[str, list[Settings]] = {
    "prune": [{"sparsity": 0.3}],
    "factorise": [{"rank": 2}],
    "replace": [{"layers": ["stage2.0.body.0"], "batches": 3}],
    "codebook": [{}],
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_key_of_a_step_is_refused_exactly_where_it_makes_the_same_network(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"pipeline.compression.steps.{kind}")
    monkeypatch.setattr(module, "changed", lambda work, model, report, **saved: digest(model.state_dict(), report))
    layers = [name for name, each in Bench().net.named_modules() if isinstance(each, nn.Conv2d)]
    for start in STARTS[kind]:
        start = {**start, "layers": layers[-1:]} if "layers" in start else start

        def trace(settings: Settings) -> str:
            torch.manual_seed(0)
            complete = STEPS.complete(kind, settings, kind)
            if sentence := (STEPS.helper(kind, "check") or (lambda _: None))(complete):
                raise UserError(sentence)
            return module.run(Bench(), **settings)

        declared = {key: field for key, field in STEPS.settings(kind).model_fields.items() if key not in start}
        idle = agrees(declared, start, reading(kind), trace)
        assert (idle > 0) == (kind == "prune")


def test_a_key_of_quantise_is_refused_exactly_where_it_writes_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.compression.steps import quantise

    written: list[str] = []

    def write(what: str) -> Callable[..., None]:
        def written_by(*found: Any, grids: Mapping[str, Any] | None = None, **options: Any) -> None:
            plain = {key: str(vars(each)) for key, each in (grids or {}).items()}
            written.append(digest(what, plain, options, *(each for each in found if not isinstance(each, Path))))

        return written_by

    def export(model: nn.Module, *_: Any, **options: Any) -> None:
        written.append(digest(model.state_dict(), options))

    monkeypatch.setattr(quantise, "export", export)
    monkeypatch.setattr(quantise, "check_file", lambda *_: {})
    for name in ("static", "store_weights", "store_frozen"):
        monkeypatch.setattr(quantise.quantise, name, write(name))

    def trace(settings: Settings) -> str:
        written.clear()
        if settings.get("form") == "grids" and not settings.get("weight_bits"):
            raise UserError("no grids")  # as check_place has it
        quantise.run(Bench(), **settings).write(Path("folder"))  # pyright: ignore[reportArgumentType]
        return digest(*written)

    declared = STEPS.settings("quantise").model_fields
    assert agrees(declared, {}, reading("quantise"), trace) > 0
    assert agrees(declared, {"form": "grids", "weight_bits": 4}, reading("quantise"), trace) > 0
    assert reading("quantise")({"form": "grids", "activation_bits": 4}) == "activation_bits"
    assert reading("tune")({"activation_bits": 4}) == "activation_bits"


def test_a_seed_of_views_that_do_nothing_is_refused() -> None:
    off = {**GIVEN, "views": {}, "seeds": {"views": 3}}
    with pytest.raises(
        UserError, match=r"seeds\.views has no effect where views\.shift is 0 .*: set views\.shift above 0"
    ):
        params.check(off, "params.yaml")
    params.check({**off, "views": {"flip": True}}, "params.yaml")
