"""`python -m tests`: what has passed on a commit is not run again, and nothing is taken for passed that has not."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import __main__ as everything

RUN, CHECK = ("sh", "-c", "echo run >> ../ran"), ("sh", "-c", "echo check >> ../ran; test -f good")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two parts, the second of which passes where there is a file `good`."""
    made = tmp_path / "repository"
    made.mkdir()
    monkeypatch.setattr(everything, "PARTS", {"run": RUN, "check": CHECK})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for command in (["init", "--quiet"], ["config", "user.name", "t"], ["config", "user.email", "t@example.org"]):
        subprocess.run(["git", *command], cwd=made, check=True)
    commit(made, "first")
    return made


def commit(root: Path, name: str) -> None:
    (root / name).touch()
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    subprocess.run(["git", "commit", "--quiet", "-m", name], cwd=root, check=True)


def ran(root: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit status, and which parts ran."""
    path = root.parent / "ran"
    path.write_text("")
    status = everything.main([*arguments], root, root.parent / "record" / "parts.json")
    return status, path.read_text().split()


def test_what_has_passed_on_this_commit_is_not_run_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(root) == (1, ["run", "check"])
    assert "1 of 2 parts passed in 0 min; failed: check" in capsys.readouterr().out
    assert ran(root) == (1, ["check"])
    assert "1 of 2 parts passed in 0 min, of which on this commit before: run; failed: check" in capsys.readouterr().out
    commit(root, "good")
    assert ran(root) == (0, ["run", "check"])
    assert ran(root) == (0, [])
    assert "2 of 2 parts passed in 0 min, of which on this commit before: run, check" in capsys.readouterr().out
    assert ran(root, "--anew") == (0, ["run", "check"])


def test_files_that_are_not_committed_leave_no_record(root: Path) -> None:
    commit(root, "good")
    (root / "other").touch()
    assert ran(root) == ran(root) == (0, ["run", "check"])
    (root / "other").unlink()
    assert ran(root) == (0, ["run", "check"])


def test_what_changes_while_a_part_runs_is_not_taken_for_passed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(root, "good")
    monkeypatch.setattr(everything, "PARTS", {"run": ("sh", "-c", "echo run >> ../ran; touch new"), "check": CHECK})
    assert ran(root) == (0, ["run", "check"])
    (root / "new").unlink()
    assert ran(root) == (0, ["run", "check"])


def test_other_packages_are_another_state(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(root, "good")
    assert ran(root) == (0, ["run", "check"])
    record = json.loads((root.parent / "record" / "parts.json").read_text())
    assert record["on"] == everything.state(root) and record["passed"].keys() == {"run", "check"}
    monkeypatch.setattr(everything, "distributions", list)
    assert ran(root) == (0, ["run", "check"])
