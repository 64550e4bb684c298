"""The two command lines: which commands there are, that help costs nothing, how an error leaves."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.__main__ import app as pipeline
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.base.signals import Stopped
from pipeline.console import errors
from stages.__main__ import app as stages

STAGES = (
    "plan prepare teacher assistant student baseline direct refinery refined born_again ensemble method mutual "
    "compress summary report"
)
PIPELINE = (
    "repro status watch tree summary layers compare seeds queue study orders predict flips import views pictures use "
    "fastest init upgrade wire accept gc"
)
SLOTS = {"assistant", "refinery", "born_again", "method", "compress"}


def names(app: typer.Typer) -> list[str]:
    return [str(command.name or getattr(command.callback, "__name__", "")) for command in app.registered_commands]


def test_the_commands_are_these() -> None:
    assert names(stages) == STAGES.split()
    assert names(pipeline) == PIPELINE.split()


@pytest.mark.parametrize("app", [stages, pipeline], ids=["stages", "pipeline"])
def test_every_command_says_what_it_is_for(app: typer.Typer) -> None:
    for name in names(app):
        answer = CliRunner().invoke(app, [name, "--help"])
        assert answer.exit_code == 0
        assert len(answer.output.split("Usage")[1].splitlines()[2].strip()) > 20, name


@pytest.mark.parametrize("name", STAGES.split())
def test_only_slots_are_asked_for(name: str) -> None:
    """The knobs are in params.yaml, so that DVC sees them."""
    answer = CliRunner().invoke(stages, [name, "--help"])
    assert ("slot" in answer.output) == (name in SLOTS)
    assert answer.output.count("--") == 1  # --help itself


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    answer = CliRunner().invoke(stages, ["techer"])
    assert answer.exit_code == 2
    assert "teacher" in answer.output


class OutOfMemoryError(RuntimeError):
    """Named as torch's own of a GPU."""


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (UserError("data.root is wrong"), "error: data.root is wrong", 1),
        (Stopped("progress is saved"), "progress is saved", 130),
        (OSError(errno.ENOSPC, "x", "a/b"), "error: the disk is full (a/b): free some space", 1),
        (OSError(errno.ENOSPC, "x"), "error: the disk is full: free some space", 1),
        (OSError(errno.EDQUOT, "x", "a"), "error: the disk quota is used up (a)", 1),
        (OSError(errno.EACCES, "x", "a"), "error: permission is denied (a): make it readable and writable", 1),
        (OSError(errno.EROFS, "x", b"a"), "error: the file system is read-only (a)", 1),
        (OSError(errno.EFBIG, "x", "a"), "error: a file would be larger than this system allows (a)", 1),
        (OSError(errno.EMFILE, "x"), "error: too many files are open: raise the limit", 1),
        (OSError(errno.ENOENT, "x", "a"), "error: the file is missing (a): run `dvc repro`", 1),
        (MemoryError(), "error: the memory is not enough: lower training.batch_size", 1),
        (OutOfMemoryError("CUDA"), "error: the memory is not enough", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "error: the memory is not enough", 1),
        (RuntimeError("could not create a primitive"), "error: the memory is not enough", 1),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(
    error: Exception, sentence: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    app = failing(error)
    with pytest.raises(SystemExit) as left:
        errors.run(app)
    said = capsys.readouterr()
    assert left.value.code == code
    assert said.out == ""
    assert said.err.startswith(sentence)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("shapes"), OSError(errno.EBADF, "x")])
def test_a_defect_of_ours_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        errors.run(failing(error))


def failing(error: Exception) -> typer.Typer:
    class App(typer.Typer):
        def __call__(self, *args: object, **kwargs: object) -> None:
            raise error

    return App()


def test_a_full_output_is_one_message(tmp_path: Path) -> None:
    """`> /dev/full`: Python would complain a second time when it leaves."""
    code = (
        "import typer; from pipeline.console.errors import run\n"
        "app = typer.Typer(pretty_exceptions_enable=False)\n"
        "@app.command()\n"
        "def fail(): print('x' * 100_000, flush=True)\n"
        "run(app)"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: the disk is full: {errors.FULL}\n"


@pytest.mark.parametrize("module", ["pipeline", "stages"])
def test_each_command_line_says_which_release_it_is(module: str) -> None:
    def said(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    assert re.fullmatch(r"cohobate (\d+\.\d+.*|, not installed: .*)\n", said("--version"))
    assert said("-h") == said("--help") and "--version" in said("-h")


SCRIPT = (sys.executable, "-c", "import sys; sys.argv[0] = 'cohobate'; from pipeline.script import main; main()")


def test_the_script_has_the_commands_of_both(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        command = [*SCRIPT, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(CODE)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    whole = said("-h")
    assert "Usage: cohobate" in whole and all(f" {name} " in whole for name in [*PIPELINE.split(), "stages"])
    assert all(f" {name} " in said("stages", "-h") for name in STAGES.split())
    assert said("tree", "-h").replace("cohobate", "") == said("tree", "--help").replace("cohobate", "")


def test_the_script_completes_what_is_typed_in_a_shell(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CODE), "_COHOBATE_COMPLETE": "complete_bash"}
    environment |= {"COMP_WORDS": "cohobate su", "COMP_CWORD": "1"}
    done = subprocess.run(SCRIPT, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["summary"] and not done.stderr


def test_the_script_does_not_look_at_other_code_than_that_which_lies_here(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(CODE), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([*SCRIPT, "status"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.startswith("error: this folder has code of its own in pipeline/") and done.stderr.count("\n") == 1
    )
