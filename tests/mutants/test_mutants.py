"""The list of mutants fits the code of today, and the machine that plants them can tell caught from survived."""

import ast
from pathlib import Path

import pytest

from tests.mutants import areas
from tests.mutants.__main__ import OWN, complaint, in_parts, outcome
from tests.mutants.mutant import Mutant
from tests.mutants.planted import Copy
from tests.scratch import ROOT

ALL = [mutant for listed in areas().values() for mutant in listed]
LEAST = 80


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: f"{mutant.path}:{mutant.replacement}")
def test_each_can_be_planted_and_names_tests_that_are_there(mutant: Mutant) -> None:
    whole = (ROOT / mutant.path).read_text()
    ast.parse(mutant.planted(whole))
    assert mutant.replacement != mutant.text
    for named in mutant.tests.split():
        path, _, function = named.partition("::")
        assert f"def {function.split('[')[0]}" in (ROOT / path).read_text()


def test_there_are_enough_of_them_and_each_part_of_the_product_has_some() -> None:
    assert len(ALL) >= LEAST
    assert len({(mutant.path, mutant.text, mutant.replacement) for mutant in ALL}) == len(ALL)
    packages = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert packages - {Path(mutant.path).parts[1] for mutant in ALL} == set()


def test_tests_are_run_once_without_a_fault_those_of_a_file_together() -> None:
    asked = ["a.py::one b.py", "a.py::two", "c.py b.py::three", "a.py::one"]
    mutants = [Mutant("it.py", "1", str(number), tests) for number, tests in enumerate(asked)]
    assert in_parts(mutants, 2) == [["a.py::one", "a.py::two", "c.py"], ["b.py"]]
    assert len(in_parts(mutants, 9)) == 3


@pytest.mark.long
def test_caught_survived_and_broken_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_it.py").write_text("from it import one\ndef test_one(): assert one == 1\n")
    (tmp_path / "it.py").write_text("one = 1\nother = 2\n")
    profile = "from hypothesis import settings\nsettings.register_profile('repeatable')\n"
    (tmp_path / "conftest.py").write_text(profile)
    monkeypatch.setattr(Copy, "__init__", lambda self, folder: setattr(self, "folder", folder))
    monkeypatch.setattr(OWN, "copy", Copy(tmp_path), raising=False)
    assert complaint(["test_it.py"]) == ""
    assert outcome(Mutant("it.py", "one = 1", "one = 3", "test_it.py"))[0] == ""
    assert "no test failed" in outcome(Mutant("it.py", "other = 2", "other = 3", "test_it.py"))[0]
    assert "pytest ended with 2" in outcome(Mutant("it.py", "one = 1", "two = 1", "test_it.py"))[0]
    assert (tmp_path / "it.py").read_text() == "one = 1\nother = 2\n"
    (tmp_path / "it.py").write_text("one = 2")
    assert complaint(["test_it.py"]).startswith("test_it.py must pass without a fault")
