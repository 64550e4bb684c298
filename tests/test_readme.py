"""The README's commands do what it says, where a test can try them."""

import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.command_lines import commands
from tests.scratch import ROOT, Scratch, create, merged

README = (ROOT / "README.md").read_text()
COMMANDS = commands(ROOT / "README.md")
# Installing, and running the whole graph or the tests: what CI does, or too long for a test of its own;
# presets, seeds and the short way have tests of their own.
SHORT_WAY = COMMANDS[:8]  # tests/test_short_way.py
ELSEWHERE = {
    *SHORT_WAY,
    "make repro",
    "make test",
    "make test-all",
    "dvc queue start --jobs 2",
    "python -m pipeline use imagefolder",
    "python -m pipeline seeds --count 5 --name warm -S student.objective.soft_targets.temperature=4",
    "python -m pipeline compare workspace warm",
}
EXPERIMENTS = [command for command in COMMANDS if command.startswith("dvc exp run")]
LOOKS = [command for command in COMMANDS if command not in ELSEWHERE and command not in EXPERIMENTS]


def test_there_are_commands_to_try() -> None:
    assert len(EXPERIMENTS) >= 4
    assert {"dvc repro", "python -m pipeline status", "python -m pipeline compare"} <= set(LOOKS)
    assert set(COMMANDS) >= ELSEWHERE


@pytest.mark.parametrize("target", ["repro", "test", "test-all"])
def test_make_knows_its_targets(lineage: Scratch, target: str) -> None:
    said = lineage.run("make", "--directory", str(ROOT), "--dry-run", target)
    assert "activate" in said


@pytest.mark.long
def test_what_looks_at_a_finished_run(copied: Scratch) -> None:
    for command in LOOKS:
        said = copied.run(*command.split())
        assert said.strip() or command == "dvc exp diff", command


@pytest.mark.long
def test_experiments_are_understood(tmp_path: Path) -> None:
    """DVC takes each override, and plan makes specs of what comes of it."""
    whole = create(tmp_path / "repository")
    images(whole.folder / "path/to/images")
    for name, value in (("user.name", "t"), ("user.email", "t@example.org")):
        whole.run("git", "config", name, value)
    params = (whole.folder / "params.yaml").read_text()
    for command in EXPERIMENTS:
        arguments = command.split()
        whole.run(*arguments, *([] if "--queue" in arguments else ["--queue"]))
        whole.run("dvc", "queue", "remove", "--all")
        for pair in (arguments[at + 1] for at, word in enumerate(arguments) if word == "-S"):
            key, _, value = pair.partition("=")
            whole.edit(nested(key.split("."), yaml.safe_load(value.split(",")[0])))
        whole.stage("plan")
        (whole.folder / "params.yaml").write_text(params)


def nested(keys: list[str], value: object) -> dict:
    """{a: {b: value}} of [a, b]."""
    return {keys[0]: nested(keys[1:], value) if len(keys) > 1 else value}


def images(folder: Path) -> None:
    """A small image folder of two classes."""
    for name in ("cat", "ball"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (20, 16), (number, 0, 0)).save(folder / name / f"{number}.png")


def test_every_file_that_is_linked_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_nested_and_merged_make_an_override() -> None:
    assert merged({"a": {"b": 1, "c": 2}}, nested(["a", "b"], 3)) == {"a": {"b": 3, "c": 2}}
