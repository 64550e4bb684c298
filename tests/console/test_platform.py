"""Other systems than Linux: a sentence where it cannot run."""

import subprocess
import sys

import pytest
import typer

from pipeline.console import errors


def test_windows_is_one_sentence_that_names_what_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()
    app.command()(lambda: pytest.fail("nothing is run"))
    monkeypatch.setattr(errors.sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        errors.run(app)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: this needs Linux or macOS, and this is win32: on Windows, run it in WSL\n"


def test_the_sentence_is_reached_where_python_lacks_modules_of_posix() -> None:
    lacking = "import sys; sys.modules |= {name: None for name in ('fcntl', 'resource', 'termios')}"
    subprocess.run([sys.executable, "-c", f"{lacking}; import pipeline.__main__, stages.__main__"], check=True)
