"""README's first page: from photographs to a file that ships, by its commands, given one after the other."""

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_lines import commands
from tests.data.folders import folder
from tests.scratch import COMMIT, PARAMS, ROOT, Scratch, create, merged

README = ROOT / "README.md"
WEIGHTS = ROOT.parent / "shared" / "data" / "weights" / "tf_efficientnet_lite0.safetensors"
INSTALL, ACTIVATE, USE, FASTEST, REPRO, PREDICT, PREPARE, IMPORT = commands(README)[:8]
SMALL: dict[str, Any] = {
    "data": {"size": 72},
    "teacher": {"architecture": {"name": "resnet18", "pretrained": False}, "input": {"size": 72}},
    "student": {"architecture": {"pretrained": False}, "input": {"size": 72}},
}


def give(scratch: Scratch, command: str) -> str:
    """Give one command; the console script is of the installed code, and this is of the repository's."""
    words = command.replace("cohobate ", f"{shlex.quote(sys.executable)} -m pipeline ", 1)
    return scratch.run(*shlex.split(words))


def in_one_epoch(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {key: 1 if key == "epochs" else in_one_epoch(value) for key, value in section.items()}


@pytest.fixture
def repository(tmp_path: Path) -> Scratch:
    """A clone with photographs of two classes, in which the preset is used."""
    ours = create(tmp_path / "repository")
    params = ours.folder / "params.yaml"
    params.write_text(PARAMS.read_text())
    ours.run(*COMMIT)
    folder(ours.folder / "images", {"ball": 20, "cat": 20}, size=(120, 100))
    assert re.search(r"mutual +on +off", give(ours, USE))
    short = in_one_epoch(merged(yaml.safe_load(params.read_text()), SMALL))  # instead of hours
    params.write_text(yaml.safe_dump(short, sort_keys=False))
    return ours


def test_these_are_the_commands() -> None:
    assert [INSTALL, ACTIVATE] == ["make install", ". .venv/bin/activate"]
    assert [USE, FASTEST, REPRO] == ["cohobate use photos", "cohobate fastest --write", "cohobate repro"]
    assert PREDICT == "cohobate predict images/cat"
    assert PREPARE == "dvc repro prepare" and IMPORT.startswith("cohobate import teacher.safetensors ")


@pytest.mark.long
def test_photographs_become_a_file_that_classifies_them(repository: Scratch) -> None:
    assert "fastest: machine.precision " in give(repository, FASTEST)
    ran = give(repository, REPRO)
    assert "teacher: learns from hard labels" in ran and "student: learns from teacher" in ran
    check(repository)


@pytest.mark.long
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights in ../shared/data")
def test_a_teacher_of_ones_own_needs_no_network(repository: Scratch) -> None:
    pytest.importorskip("timm")
    shutil.copyfile(WEIGHTS, repository.folder / "teacher.safetensors")
    give(repository, PREPARE)
    assert "teacher.architecture.name was resnet18, is tf_efficientnet_lite0" in give(repository, IMPORT)
    assert "the last layer, classifier, is new, for 2 classes" in give(repository, REPRO)
    check(repository)


def check(repository: Scratch) -> None:
    """What ships answers of each photograph; all has run, and the page is there."""
    lines = [line.split("\t") for line in give(repository, PREDICT).splitlines()]
    assert [Path(path).name for path, *_ in lines] == [f"{number:03}.png" for number in range(20)]
    assert {name for _, name, _ in lines} <= {"ball", "cat"}
    assert "nothing to do" in give(repository, "cohobate repro --dry")
    assert (repository.folder / "report.html").stat().st_size > 10_000
