"""params.yaml: every fault is one sentence that says where it is and what would be right."""

import copy
import math
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.config.compress import Fresh, Tuned
from pipeline.config.network import TrainingSection
from pipeline.planning import build, graph
from tests.scratch import PARAMS, ROOT

DEFAULT = yaml.safe_load(PARAMS.read_text())
STAGES = graph.read(ROOT / "dvc.yaml")
# What these mappings are keyed by is a name that is given, not a field.
NAMED = {"architectures", "method", "layers", "steps"}
Path_ = tuple[str, ...]


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in params.yaml, mappings included."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))


def at(value: Any, path: Path_) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(path: Path_, new: Any) -> dict[str, Any]:
    """The default with one value replaced."""
    whole = copy.deepcopy(DEFAULT)
    at(whole, path[:-1])[path[-1]] = new
    return whole


def read(content: Any) -> params.Params:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return params.read(path)


PLACES = [path for path in places(DEFAULT) if path]
MAPPINGS = [path for path in places(DEFAULT) if isinstance(at(DEFAULT, path), dict) and not {*path[-1:]} & NAMED]


def test_the_default_is_valid_and_every_learner_is_complete() -> None:
    whole = read(DEFAULT)
    learners = [getattr(whole, name) for name in params.LEARNERS] + list(whole.method.values())
    assert len(learners) == len(params.LEARNERS) + len(DEFAULT["method"])
    for learner in learners:
        assert isinstance(learner, TrainingSection)
        assert learner.recipe.settings["weight_decay"] == DEFAULT["training"]["weight_decay"]
        assert all("weight" in term for term in learner.objective.values())
    assert whole.student and whole.baseline
    assert whole.student.recipe.lr == DEFAULT["student"]["recipe"]["lr"] != whole.training.lr
    assert whole.direct == whole.student
    assert whole.baseline.recipe == whole.student.recipe
    assert whole.baseline.objective != whole.student.objective


def test_steps_that_train_are_filled_in_and_what_they_give_themselves_counts() -> None:
    whole = copy.deepcopy(DEFAULT)
    whole["student"]["teaching"] = "live"
    small = {"kind": "distil", "recipe": {"epochs": 3}}
    whole["compress"] |= {"order": ["small", "tune"], "steps": {"small": small, "tune": {"recipe": {"lr": 0.007}}}}
    found = read(whole)
    student, training = found.student, found.training
    assert student and found.compress
    distil, tune = found.compress.steps["small"], found.compress.steps["tune"]
    assert isinstance(distil, Fresh)
    assert isinstance(tune, Tuned)
    assert distil.recipe == student.recipe.model_copy(update={"epochs": 3})
    assert distil.architecture == student.architecture
    assert tune.recipe == training.model_copy(update={"lr": 0.007})
    assert distil.objective == tune.objective == student.objective
    assert distil.teaching == tune.teaching == "live"


@pytest.mark.parametrize("path", [path for path in MAPPINGS if at(DEFAULT, path)], ids=".".join)
def test_an_unknown_key_is_refused_with_the_nearest_valid_one(path: Path_) -> None:
    nearest = max((str(key) for key in at(DEFAULT, path) if key != "family"), key=len)
    wrong = f"{nearest}x"
    whole = copy.deepcopy(DEFAULT)
    at(whole, path)[wrong] = at(whole, path)[nearest]
    with pytest.raises(UserError) as raised:
        read(whole)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.startswith("params.yaml: ")
    assert repr(wrong) in sentence
    assert f"did you mean {nearest!r}?" in sentence
    assert path == () or path[0] in sentence


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("teacher", "recipe", "lr"), -1, r"teacher\.recipe\.lr: .*greater than 0, not -1"),
        (("data", "source"), "mnst", r"data\.source: unknown source 'mnst', did you mean 'mnist'"),
        (("student", "objective"), {"soft_target": {}}, r"student\.objective: .*did you mean 'soft_targets'"),
        (("student", "objective"), {"soft_targets": {"weight": 0}}, r"no term has a weight above 0"),
        (("student", "architecture", "family"), "plane", r"student\.architecture: .*did you mean 'plain'"),
        (("assistant", "links"), 5, r"links is 5, but architectures\.t5 is not given"),
        (("teacher", "weights"), {"file": "a", "sha256": "b"}, r"teacher\.weights\.sha256: .*not 'b'"),
        (("seeds",), None, r"seeds: "),
        (("labels", "views"), math.nan, r"labels\.views: "),
        (("data", "label_noise"), math.nan, r"data\.label_noise: "),
        (("views", "scale"), math.nan, r"views\.scale: "),
        (("training", "momentum"), math.nan, r"momentum: "),
        (("select",), "f1", r"select: must be 'accuracy', 'balanced_accuracy', 'macro_f1' or 'nll', not 'f1'"),
        (("training", "class_weights"), "equal", r"training\.class_weights: must be 'balanced', not 'equal'"),
        (("training", "sampling"), None, r"training\.sampling: must be 'uniform' or 'balanced', not None"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_what_would_be_right(path: Path_, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: .*{message}"):
        read(changed(path, value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^params\.yaml must be a mapping"),
        ("- a", r"^params\.yaml must be a mapping"),
        ("a: [", r"^params\.yaml, line 2, column 1: "),
        ("a: b: c", r"^params\.yaml, line 1, column 5: "),
        ("\x00", r"^params\.yaml cannot be read as YAML"),
    ],
)
def test_what_is_no_mapping_of_sections_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        params.read(path)
    with pytest.raises(UserError, match=r"^there is no none\.yaml"):
        params.read(tmp_path / "none.yaml")


TEXT = st.text(string.printable, max_size=8) | st.sampled_from(["teacher", "t1", "refined", "imagefolder", "live"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=4,
)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(path=st.sampled_from(PLACES), value=VALUES)
def test_any_value_anywhere_gives_a_plan_or_a_sentence(path: Path_, value: Any) -> None:
    try:
        specs = build.build(read(changed(path, value)), STAGES)
    except UserError as error:
        assert str(error)
        return
    for spec in specs.values():
        files.to_json(spec.as_json())


def test_rare_classes_are_made_up_for_once() -> None:
    both = {**DEFAULT["training"], "class_weights": "balanced", "sampling": "balanced"}
    message = r"^params\.yaml: training\.class_weights and sampling are both balanced, and each alone makes all classes"
    with pytest.raises(UserError, match=message):
        read(changed(("training",), both))
    # One network may choose the other way than all others.
    apart = changed(("training", "class_weights"), "balanced")
    apart["teacher"]["recipe"] |= {"class_weights": None, "sampling": "balanced"}
    found = read(apart)
    assert found.student
    assert (found.teacher.recipe.sampling, found.student.recipe.class_weights) == ("balanced", "balanced")


def test_weights_of_classes_are_refused_beside_terms_that_take_none() -> None:
    message = (
        r"^params\.yaml: refinery\.recipe\.class_weights has no effect where no term of the objective takes hard "
        r"labels by their classes' weights: name cross_entropy or cwtm there, or leave class_weights out$"
    )
    whole = copy.deepcopy(DEFAULT)
    whole["refinery"]["recipe"]["class_weights"] = "balanced"
    with pytest.raises(UserError, match=message):
        read(whole)
    whole["refinery"]["objective"] = {"label_refinery": {"weight": 1.0}, "cross_entropy": {"weight": 0.1}}
    refinery = read(whole).refinery
    assert refinery and refinery.recipe.class_weights == "balanced"
