"""All that prints goes through one place: nothing else may print, open a console of rich, or fill a template."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.console.hostile import HOSTILE, check
from tests.scratch import ROOT

PRINTING = {
    "pipeline/console/progress.py",
    "pipeline/console/errors.py",
    "pipeline/compression/footprint.py",  # a number, for the process that began this one
    "pipeline/compression/checker.py",  # a program of its own, which ships: it has nothing of ours
}
CONSOLE = "pipeline/console/terminal.py"
ELSEWHERE = {"echo", "secho", "from_markup"}


def faults(path: str, text: str) -> Iterator[str]:
    """What a file of ours does that only one place may do."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = {keyword.arg for keyword in node.keywords}
            if name == "print" and isinstance(node.func, ast.Name) and path not in PRINTING:
                yield f"{path}:{node.lineno}: prints; use log, warn or emit of console.progress"
            if name in ELSEWHERE or (name == "write" and "sys.std" in ast.unparse(node.func)):
                yield f"{path}:{node.lineno}: {name}; use log, warn or emit of console.progress"
            if name == "Console" and path != CONSOLE:
                yield f"{path}:{node.lineno}: a console of its own; use console.terminal.console"
            if name in ("Progress", "Live") and "console" not in given:
                yield f"{path}:{node.lineno}: {name} opens a console of its own; give it that of console.terminal"
            if name == "Environment" and not {"autoescape", "finalize"} <= given:
                yield f"{path}:{node.lineno}: templates whose values are not made visible"


def test_one_place_prints() -> None:
    paths = [path for top in ("pipeline", "stages") for path in sorted((ROOT / top).rglob("*.py"))]
    assert len(paths) > 100
    assert [each for path in paths for each in faults(path.relative_to(ROOT).as_posix(), path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        "print(name)",
        "sys.stderr.write(name)",
        "typer.echo(name)",
        "rich.console.Console(markup=False)",
        "Progress(column)",
        "Live(auto_refresh=False)",
        "Text.from_markup(name)",
        "Environment(autoescape=True)",
    ],
)
def test_any_other_is_named(text: str) -> None:
    assert len([*faults("pipeline/commands/other.py", text)]) == 1


def test_templates_take_nothing_as_safe() -> None:
    for path in (ROOT / "pipeline" / "report" / "templates").glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", path.read_text()), path.name


BEFORE = "import sys, warnings, typer\nfrom pipeline.console.errors import run\napp = typer.Typer()\n@app.command()\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("warnings.warn(sys.argv[1])", "warning: evil"),
        ("raise KeyError(sys.argv[1])", "Traceback (most recent call last):"),
        ("raise RuntimeError(sys.argv[1])", "RuntimeError: evil"),
        ("raise OSError(13, 'x', sys.argv[1])", "error: permission is denied (evil"),
    ],
)
def test_warnings_and_tracebacks_leave_the_same_way(body: str, said: str) -> None:
    code = f"{BEFORE}def go(name: str): {body}\nrun(app)"
    done = subprocess.run([sys.executable, "-c", code, HOSTILE], cwd=ROOT, capture_output=True, check=False)
    printed = os.fsdecode(done.stderr)
    check(printed.replace("\n    forged", ""))  # the message of a traceback keeps its lines, to the right of ours
    assert said in printed


def test_a_terminal_of_few_letters_ends_nothing() -> None:
    code = f"{BEFORE}def go(): print('± →')\nrun(app)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xb1 \\u2192\n", b"")


def test_what_the_command_line_refuses_is_shown() -> None:
    for arguments in ([f"--{HOSTILE}"], ["status", f"--{HOSTILE}"], ["status", HOSTILE], [HOSTILE]):
        command = [sys.executable, "-m", "pipeline", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 2
        check(os.fsdecode(done.stderr))
