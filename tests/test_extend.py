"""One rule: a new thing is one file. The examples of docs/extend.md are put into a repository, and nothing else is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import files
from pipeline.lineage.node import EMPTY_CURVE
from tests.conftest import made_once
from tests.scratch import ROOT, Scratch

PAGE = (ROOT / "docs" / "extend.md").read_text()
EXAMPLE = re.compile(r"^`(pipeline/\S+\.py)`\n\n```python\n(.*?)```\n\n```yaml\n(.*?)```$", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE)
CODE = {path: code for path, code, _ in EXAMPLES}
USERS = {  # of each file: the unit of code that begins in it, and the nodes whose specs name that
    "pipeline/objectives/huber.py": ("objective huber", {"direct"}),
    "pipeline/models/perceptron.py": ("model perceptron", {"teacher", "compress/c1", "ensemble"}),
    "pipeline/data/sources/stripes.py": ("source stripes", {"prepare"}),
    "pipeline/compression/steps/rounding.py": ("step rounding", {"compress/c1"}),
    "pipeline/training/optimizers/rmsprop.py": ("optimizer rmsprop", {"teacher"}),
}
RUN = (("prepare",), ("teacher",), ("direct",), ("compress", "c1"))
# Of the born-again chain, which has the teacher's architecture and its own recipe.
BORN_AGAIN = {"born_again": {"architecture": {"family": "plain", "widths": [4]}}}


def specs(scratch: Scratch) -> dict[str, Any]:
    plan = scratch.folder / "plan"
    return {str(path.relative_to(plan).with_suffix("")): files.read_sealed(path) for path in plan.rglob("*.json")}


def units(spec: dict[str, Any]) -> set[tuple[str, str]]:
    """The units of code that a spec names, each with its hash."""
    return {unit for part in spec["code"].values() for unit in part.items()}


def add(scratch: Scratch) -> None:
    """Write the examples' files, which are new ones."""
    for path, code in CODE.items():
        assert not (scratch.folder / path).exists()
        (scratch.folder / path).write_text(code)


@pytest.fixture(scope="module")
def planned(fresh: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A repository with all examples, in which only `plan` has run. To be read, not changed."""

    def make(folder: Path) -> None:
        scratch = fresh.copy(folder)
        add(scratch)
        for _, _, section in EXAMPLES:
            scratch.edit(yaml.safe_load(section))
        scratch.edit(BORN_AGAIN)
        scratch.stage("plan")

    return Scratch(made_once(tmp_path_factory, "examples planned", make))


@pytest.fixture(scope="module")
def extended(planned: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """The same, whose stages that use the examples have run."""

    def make(folder: Path) -> None:
        scratch = planned.copy(folder)
        for verb in RUN:
            scratch.stage(*verb)

    return Scratch(made_once(tmp_path_factory, "extended", make))


def test_the_page_has_an_example_of_each() -> None:
    assert CODE.keys() == USERS.keys()


def test_files_that_nothing_names_change_no_spec(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository")
    before = specs(scratch)
    add(scratch)
    scratch.stage("plan")
    assert specs(scratch) == before


def test_a_stage_depends_on_the_files_that_it_names(planned: Scratch, tmp_path: Path) -> None:
    scratch = planned.copy(tmp_path / "repository")
    before = specs(scratch)
    for path in USERS:
        (scratch.folder / path).write_text(f"{CODE[path]}\nUNUSED = 1\n")
    scratch.stage("plan")
    now = specs(scratch)
    found = {name: units(spec) - units(before[name]) for name, spec in now.items() if spec != before[name]}
    assert {name: {unit for unit, _ in changed} for name, changed in found.items()} == {
        name: {unit for unit, users in USERS.values() if name in users} for _, names in USERS.values() for name in names
    }


@pytest.mark.long
def test_a_source_and_its_settings(extended: Scratch) -> None:
    header = files.read_sealed(extended.folder / "artifacts/data/data.json")
    assert header["classes"] == ["upright", "lying"]
    assert sum(header["counts"].values()) == 300
    assert specs(extended)["prepare"]["data"]["noise"] == 0.2, "what is not given has the default"


@pytest.mark.long
def test_an_architecture_and_an_optimiser(extended: Scratch) -> None:
    node = files.read_sealed(extended.folder / "artifacts/teacher/node.json")
    assert (node["architecture"]["family"], node["architecture"]["hidden"]) == ("perceptron", 24)
    numbers = yaml.safe_load((extended.folder / "metrics/teacher.json").read_text())
    assert numbers["validation"]["accuracy"] > 0.9, "stripes are easy, where an optimiser optimises"
    assert specs(extended)["teacher"]["training"]["recipe"]["alpha"] == 0.9


@pytest.mark.long
def test_an_objective(extended: Scratch) -> None:
    header, *epochs = (extended.folder / "curves/direct.csv").read_text().splitlines()
    assert any("huber" in column for column in header.split(","))
    assert len(epochs) == specs(extended)["direct"]["training"]["recipe"]["epochs"]


@pytest.mark.long
def test_a_compress_step(extended: Scratch) -> None:
    numbers = yaml.safe_load((extended.folder / "metrics/compress/c1.json").read_text())
    assert numbers["kind"] == "rounding"
    assert 0 < numbers["report"]["largest_change"] <= 0.025
    assert (extended.folder / "curves/compress/c1.csv").read_text() == EMPTY_CURVE


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"direct": {"objective": {"huber": {"dleta": 1.0}}}}, "unknown key 'dleta', did you mean 'delta'?"),
        ({"teacher": {"architecture": {"family": "perceptron", "hiden": 3}}}, "did you mean 'hidden'?"),
        ({"data": {"images": 0}}, "params.yaml: data.images: must be greater than or equal to 1, not 0"),
        ({"compress": {"steps": {"rounding": {"step": 0.7}}}}, "compress.steps.rounding.step is above 0.5"),
        ({"compress": {"steps": {"rounding": {"stp": 0.1}}}}, "compress.steps.rounding: unknown key 'stp', did you"),
        ({"teacher": {"recipe": {"alpha": 1.0}}}, "teacher.recipe.alpha: must be less than 1, not 1.0"),
        # A key of an optimiser that is not used is still one that there is, and is checked.
        ({"teacher": {"recipe": {"momentum": 2.0}}}, "teacher.recipe.momentum: must be less than 1, not 2.0"),
        ({"teacher": {"recipe": {"momntum": 0.5}}}, "teacher.recipe: unknown key 'momntum', did you mean"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_one_sentence(
    planned: Scratch, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    scratch = planned.copy(tmp_path / "repository")
    scratch.edit(change)
    said = scratch.stage("plan", code=1)
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_settings_of_a_step_that_trains_are_what_its_state_is_bound_to(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository")
    path = scratch.folder / "pipeline/compression/steps/polish.py"
    text = 'MAKES = "tuned"\n\n\ndef run(work, *, rounds: Count = 2, name: str = "a"): ...\n'
    path.write_text(text)
    steps = {"polish": {"rounds": 3, "recipe": {"epochs": 5}}}
    scratch.edit({"compress": {"order": ["polish", "tune"], "steps": steps}})
    scratch.stage("plan")
    now = specs(scratch)
    polish, tune = (now[f"compress/{slot}"]["training"] for slot in ("c1", "c2"))
    assert (polish["settings"], polish["bits"], polish["recipe"]["epochs"]) == ({"rounds": 3, "name": "a"}, None, 5)
    assert "settings" not in tune
    path.write_text(text.replace("tuned", "tuning"))
    said = scratch.stage("plan", code=1)
    assert "pipeline/compression/steps/polish.py: MAKES must be one of fresh, tuned, changed, file, shipped" in said


def test_plan_runs_a_check_alone_and_imports_no_torch(planned: Scratch) -> None:
    code = "import sys; from stages.__main__ import plan; plan(); assert not {'torch', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=planned.folder, env=planned.environment)
