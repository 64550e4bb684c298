"""`cohobate upgrade`: an older folder gets the stages of this release, and keeps what is its user's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.commands import upgrade as module
from pipeline.commands.init import init
from pipeline.commands.upgrade import upgrade, with_stages
from tests.scratch import ROOT

NOW = (ROOT / "dvc.yaml").read_text()
STAGES = [*yaml.safe_load(NOW)["stages"]]


def without(text: str, *names: str) -> str:
    """An older dvc.yaml, line by line."""
    lines = text.splitlines(keepends=True)
    for name in names:
        start, end = module._blocks("".join(lines))[name]
        del lines[start:end]
    return "".join(lines)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    list(init(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def test_a_folder_of_this_release_is_left_as_it_is(here: Path) -> None:
    before = (here / "dvc.yaml").stat().st_mtime_ns, (here / "params.yaml").read_bytes()
    assert [*upgrade(dry=False)] == ["dvc.yaml: has every stage of this release, no change"]
    assert before == ((here / "dvc.yaml").stat().st_mtime_ns, (here / "params.yaml").read_bytes())


@pytest.mark.parametrize("names", [[name] for name in STAGES] + [["direct", "refinery"], ["report"], STAGES[1:4]])
def test_stages_come_where_they_stand_in_the_release(names: list[str]) -> None:
    old = without(NOW, *names)
    assert {*yaml.safe_load(old)["stages"]} == {*STAGES} - {*names}
    after = with_stages(old, NOW, names)
    assert [*yaml.safe_load(after)["stages"]] == STAGES
    assert yaml.safe_load(after) == yaml.safe_load(NOW)
    assert after.replace("\n\n", "\n") == NOW.replace("\n\n", "\n")


def test_what_the_user_wrote_stays_and_what_is_done_is_shown(here: Path) -> None:
    old = without(NOW, "mutual").replace("  teacher:\n", "  # mine\n  teacher:\n")
    old = old.replace(
        "      t4: {prev: assistant/t3}\n", "      t4: {prev: assistant/t3}\n      t5: {prev: assistant/t4}\n"
    )
    (here / "dvc.yaml").write_text(old)
    dry = [*upgrade(dry=True)]
    assert (here / "dvc.yaml").read_text() == old
    said = [*upgrade(dry=False)]
    assert said == dry and any(line.startswith("+  mutual:") for line in said)
    after = (here / "dvc.yaml").read_text()
    found = yaml.safe_load(after)["stages"]
    assert [*found] == STAGES and "t5" in found["assistant"]["foreach"] and "  # mine\n  teacher:" in after
    assert "artifacts/assistant/t5" in found["student"]["deps"], "wired"
    assert [*upgrade(dry=False)] == ["dvc.yaml: has every stage of this release, no change"]


def test_a_stage_of_another_command_is_named_and_stays(here: Path) -> None:
    text = NOW.replace("cmd: exec python -m stages teacher", "cmd: nice python -m stages teacher")
    (here / "dvc.yaml").write_text(text)
    assert "dvc.yaml: stages.teacher.cmd is not this release's, exec python -m stages teacher: yours stays" in [
        *upgrade(dry=False)
    ]
    assert (here / "dvc.yaml").read_text() == text


def test_what_params_lack_is_named_with_the_releases_value(here: Path) -> None:
    params: dict[str, Any] = yaml.safe_load((here / "params.yaml").read_text())
    expected = [
        'params.yaml: lacks select, which this release has as "accuracy"',
        "params.yaml: lacks machine.trackers, which this release has as []",
    ]
    del params["select"], params["machine"]["trackers"]
    params["method"] = {}
    (here / "params.yaml").write_text(yaml.safe_dump(params))
    before = (here / "params.yaml").read_bytes()
    assert [*upgrade(dry=False)][1:] == expected
    assert (here / "params.yaml").read_bytes() == before


def test_results_are_taken_over_where_there_are_some(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        def lines(self) -> list[str]:
            return ["nodes taken over: 3"]

    asked: list[bool] = []
    monkeypatch.setattr(module, "accept", lambda dry: asked.append(dry) or Taken())
    assert "nodes taken over: 3" not in [*upgrade(dry=True)] and not asked
    (here / "dvc.lock").touch()
    assert [*upgrade(dry=True)][-1] == [*upgrade(dry=False)][-1] == "nodes taken over: 3"
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stages: {plan: {cmd: x}}\n", "stand in brackets"),
        ("stages:\n", "or there are none"),
        ("stages: [\n", "dvc.yaml"),
    ],
)
def test_a_file_that_cannot_be_read_line_by_line_is_refused(here: Path, text: str, fault: str) -> None:
    (here / "dvc.yaml").write_text(text)
    with pytest.raises(UserError, match=fault):
        list(upgrade(dry=False))
    assert (here / "dvc.yaml").read_text() == text


def test_outside_of_such_a_folder_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"dvc\.yaml"):
        list(upgrade(dry=False))
