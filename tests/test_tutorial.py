"""The tutorial's commands, given one after the other to a copy of the repository."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_lines import commands
from tests.data.folders import folder
from tests.scratch import COMMIT, PARAMS, ROOT, Scratch, create

TUTORIAL = ROOT / "docs" / "tutorial.md"
INSTALLS = ["make install", ". .venv/bin/activate"]


def give(scratch: Scratch, command: str) -> str:
    """Give one command, as the tutorial says."""
    return scratch.run(*(sys.executable if word == "python" else word for word in command.split()))


def in_one_epoch(section: Any) -> Any:
    """The same settings with one epoch for every network."""
    if not isinstance(section, dict):
        return section
    return {key: 1 if key == "epochs" else in_one_epoch(value) for key, value in section.items()}


@pytest.mark.long
def test_from_a_clone_to_a_file_that_classifies_own_images(tmp_path: Path) -> None:
    ours = create(tmp_path / "repository")
    clone, activate, quick, repro, tree, own, student, status, predict = commands(TUTORIAL)
    assert [clone, activate] == INSTALLS

    params = ours.folder / "params.yaml"
    tiny = params.read_text()
    assert "data.source" not in give(ours, quick), "the scratch repository has the digits already"
    params.write_text(tiny)  # the real thing takes minutes
    assert "Running stage 'plan'" in give(ours, repro)
    assert re.search(r"─ teacher +\d", give(ours, tree))

    params.write_text(PARAMS.read_text())
    ours.run(*COMMIT)
    folder(ours.folder / "images", {"ball": 20, "cat": 20}, size=(40, 30))
    assert re.search(r"data.source +digits +imagefolder", give(ours, own))
    short = in_one_epoch(yaml.safe_load(params.read_text()))
    short["method"]["fitnet"]["recipe"] = {"epochs": 2}  # with the hint's
    params.write_text(yaml.safe_dump(short, sort_keys=False))
    ran = give(ours, student)
    assert "student: learns from assistant/t1" in ran and "method" not in ran
    said = give(ours, status)
    assert re.search(r"student +trained", said) and re.search(r"direct +stale", said)
    lines = [line.split("\t") for line in give(ours, predict).splitlines()]
    assert [Path(path).name for path, *_ in lines] == [f"{number:03}.png" for number in range(20)]
    assert {name for _, name, _ in lines} <= {"ball", "cat"}


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", TUTORIAL.read_text()):
        assert (TUTORIAL.parent / link).resolve().exists(), link
