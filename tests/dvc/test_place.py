"""A repository in a place where DVC cannot work: said before it fails."""

import sys
from pathlib import Path

import pytest

from pipeline.base.errors import UserError
from pipeline.dvc import place
from tests.scratch import Scratch


@pytest.mark.parametrize("name", ["a{b", "a}b", "{a}", "${a}"])
def test_braces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    inside = tmp_path / name / "deep"
    (inside / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(inside)
    with pytest.raises(UserError, match=r"^DVC cannot work in a folder whose path has braces \("):
        place.check()


def test_bytes_that_are_no_text_are_refused_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / b"a\xffb".decode(errors="surrogateescape")
    (inside / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(inside)
    with pytest.raises(UserError, match=r"whose path is no UTF-8 \(.*/a\\xffb\): rename it"):
        place.check()


@pytest.mark.parametrize("name", ["a b", "a%sb", "a'b", 'a"b', "a$b", "a[b]", "a*b", "a#b", "ü"])
def test_other_characters_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / name)
    place.check()


@pytest.mark.parametrize("command", [("stages", "plan"), ("pipeline", "repro"), ("pipeline", "repro", "--jobs", "2")])
def test_plan_and_repro_say_so(fresh: Scratch, tmp_path: Path, command: tuple[str, ...]) -> None:
    scratch = fresh.copy(tmp_path / "a{b}")
    said = scratch.run(sys.executable, "-m", *command, code=1)
    assert said == (f"error: DVC cannot work in a folder whose path has braces ({scratch.folder}): {place.REMEDY}\n")
