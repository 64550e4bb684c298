"""Keys that the named file declares are keys of the section; those of another are checked, kept, and not used."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.base.errors import UserError
from pipeline.config.compress import Step
from pipeline.config.extension import OPTIMIZERS, ExtensionPoint
from pipeline.config.recipe import Recipe

RECIPE = {"epochs": 1, "batch_size": 2, "lr": 0.1}


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExtensionPoint:
    """A folder of two files, for recipes to name."""
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "a.py").write_text("def a(x, y, *, low: Share = 0.5, own: Count = 1): ...\n")
    (folder / "b.py").write_text("def b(y, x, *, low: Count = 5, other: bool = True): ...\n")
    monkeypatch.setattr("pipeline.config.extension.PIPELINE", tmp_path)
    point = ExtensionPoint("thing", "things")
    monkeypatch.setattr(Recipe, "point", point)
    return point


def test_keys_of_another_file_are_checked_kept_and_not_used() -> None:
    recipe = Recipe.model_validate({**RECIPE, "optimizer": "adamw", "momentum": 0.5})
    assert recipe.settings == {"weight_decay": 0.0}
    assert recipe.model_dump()["momentum"] == 0.5
    assert Recipe.model_validate(recipe.model_dump()) == recipe
    with pytest.raises(ValidationError, match=r"\.momentum: must be less than 1, not 2"):
        Recipe.model_validate({**RECIPE, "optimizer": "adamw", "momentum": 2})
    with pytest.raises(ValidationError, match=r"unknown key 'momentun', did you mean 'momentum'"):
        Recipe.model_validate({**RECIPE, "optimizer": "sgd", "momentun": 0.5})


def test_of_a_key_that_several_declare_the_named_ones_counts(point: ExtensionPoint) -> None:
    first = Recipe.model_validate({**RECIPE, "optimizer": "a", "low": 0.1, "other": False})
    assert first.settings == {"low": 0.1, "own": 1}
    second = Recipe.model_validate({**RECIPE, "optimizer": "b", "low": 3, "own": 2})
    assert second.settings == {"low": 3, "other": True}
    with pytest.raises(ValidationError, match=r"\.low: must be less than or equal to 1, not 3"):
        Recipe.model_validate({**RECIPE, "optimizer": "a", "low": 3})


def test_a_step_takes_over_no_keys_of_another() -> None:
    assert Step.model_validate({"kind": "codebook"}).settings == {"bits": 4}
    with pytest.raises(ValidationError, match="unknown key 'sparsity'"):
        Step.model_validate({"kind": "codebook", "sparsity": 0.5})


def test_what_a_function_is_handed_goes_by_name(point: ExtensionPoint) -> None:
    offered = {"x": 1, "y": 2, "z": 3}
    assert [point.handed(name, offered) for name in ("a", "b")] == [[1, 2], [2, 1]]
    with pytest.raises(UserError, match=r"pipeline/things/a\.py: unknown positional parameter 'x', valid: y"):
        point.handed("a", {"y": 2})


def test_a_name_without_a_file_is_refused() -> None:
    with pytest.raises(UserError, match=r"^unknown optimizer 'sdg', did you mean 'sgd'\?$"):
        OPTIMIZERS.path("sdg")
