"""A stage that two runs of one repository come to at once."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.engines.once import FOLDER, Once

ENTRIES: dict[str, Any] = {
    "plan": {"outs": [{"path": "plan", "md5": "1"}]},
    "teacher": {"outs": [{"path": "artifacts/teacher", "md5": "2"}]},
}
NEEDS = ("plan", "teacher")
ALIVE: list[Once] = []


def once(**changed: str) -> Once:
    """Of a run in which these stages left something else."""
    entries = {**ENTRIES, **{name: {"outs": [{"path": name, "md5": md5}]} for name, md5 in changed.items()}}
    made = Once(lambda names: {name: entries[name] for name in names})
    ALIVE.append(made)  # what it holds would be free with it
    return made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name in ("student", "direct"):
        files.write_sealed(Path(f"plan/{name}.json"), {"epochs": 1})


def test_one_runs_it_and_the_other_waits_until_it_has_ended() -> None:
    ours, theirs = once(), once()
    assert ours.begins("student", NEEDS)
    assert not theirs.begins("student", NEEDS) and not theirs.begins("student", NEEDS)
    ours.ends("student")
    assert theirs.begins("student", NEEDS)
    theirs.ends("student")
    assert [*Path(FOLDER).iterdir()] == []


def test_another_stage_another_spec_and_other_inputs_run_beside_it() -> None:
    assert once().begins("student", NEEDS)
    assert once().begins("direct", NEEDS)
    assert once(teacher="3").begins("student", NEEDS)
    files.write_sealed(Path("plan/student.json"), {"epochs": 2})
    assert once().begins("student", NEEDS)


def test_the_plan_of_other_stages_makes_no_difference() -> None:
    assert once().begins("student", NEEDS) and not once(plan="9").begins("student", NEEDS)


def test_experiments_of_one_repository_know_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert once().begins("student", NEEDS)
    other = tmp_path / "experiment"
    files.write_sealed(other / "plan/student.json", {"epochs": 1})
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(other)
    assert not once().begins("student", NEEDS)
