"""`python -m pipeline fastest`: which precision and layout is taken, and what is written."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE, DATA
from pipeline.commands import fastest
from pipeline.commands.fastest import Way
from pipeline.config.data import Data
from pipeline.data.prepare import prepare
from pipeline.training.device import Device
from tests.data.folders import folder
from tests.scratch import PARAMS, merged

NAN, NEVER = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given({})
    Path("dvc.yaml").write_bytes((CODE / "dvc.yaml").read_bytes())


def given(change: dict[str, Any]) -> None:
    machine = {"machine": {"device": "cpu", "precision": "float32", "memory_format": "auto"}}
    content = merged(merged(yaml.safe_load(PARAMS.read_text()), machine), change)
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def timed(monkeypatch: pytest.MonkeyPatch, seconds: dict[tuple[str, str, str], float]) -> list[tuple[str, str, str]]:
    """Steps take these seconds, by precision, layout and family of the network; what was asked for."""
    asked: list[tuple[str, str, str]] = []

    def steps(architecture: Mapping[str, Any], supplied: Mapping[str, int], on: Device) -> Iterator[float]:
        for _ in range(fastest.STEPS):
            asked.append((on.compute_type, on.memory_format, architecture["family"]))
            yield seconds[asked[-1]]

    monkeypatch.setattr(fastest, "_steps", steps)
    return asked


def test_epochs_weigh_what_a_step_takes_and_what_is_hopeless_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    given({"teacher": {"recipe": {"epochs": 10}}, "student": {"recipe": {"epochs": 100}}})
    seconds = {}
    for precision, layout, teacher, student in (
        ("float32", "contiguous", 4.0, 1.0),
        ("float32", "channels_last", 2.0, 1.5),  # more in all, though the teacher takes half
        ("bfloat16", "contiguous", 99.0, 1.0),
        ("bfloat16", "channels_last", 5.0, 0.6),
    ):
        seconds |= {(precision, layout, "residual"): teacher, (precision, layout, "plain"): student}
    asked = timed(monkeypatch, seconds)
    found = fastest.ways(lambda line: None)
    assert [way.total for way in found] == [140.0, 170.0, NEVER, 110.0]
    assert asked.count(("bfloat16", "contiguous", "residual")) == 1
    assert ("bfloat16", "contiguous", "plain") not in asked
    best = fastest.fastest(found, "float32", "contiguous")
    assert (best.precision, best.layout) == ("bfloat16", "channels_last")
    header, *rows = fastest.table(found)
    assert header[2:4] == ("teacher, ms an image", "student, ms an image")
    assert rows[2] == ("bfloat16", "contiguous", "", "", "slower") and rows[0][-1] == "2333"


def test_hardly_less_changes_nothing() -> None:
    found = [Way("float32", "contiguous", {}, 1.0), Way("bfloat16", "channels_last", {}, 0.96)]
    assert fastest.fastest(found, "float32", "contiguous") == found[0]
    assert fastest.fastest(found, "auto", "auto") == found[1]
    assert fastest.fastest([found[0], Way("bfloat16", "contiguous", {}, 0.94)], "float32", "contiguous").total == 0.94


def test_it_writes_both_and_comments_stay() -> None:
    text = PARAMS.read_text()
    Path("params.yaml").write_text(text)
    changes = fastest.write(Way("bfloat16", "channels_last", {}, 1.0))
    assert {key for key, *_ in changes} == {"machine.precision", "machine.memory_format"}
    after = Path("params.yaml").read_text()
    assert after.count("#") == text.count("#")
    assert yaml.safe_load(after)["machine"]["memory_format"] == "channels_last"


def test_the_command_measures_the_networks_of_params_yaml() -> None:
    answer = CliRunner().invoke(app, ["fastest", "--write"], catch_exceptions=False)
    assert answer.exit_code == 0
    machine = yaml.safe_load(Path("params.yaml").read_text())["machine"]
    assert (
        f"machine.precision {machine['precision']}, machine.memory_format {machine['memory_format']}" in answer.output
    )
    assert machine["precision"] in ("float32", "bfloat16") and machine["memory_format"] in fastest.LAYOUTS


def test_where_nothing_is_trained_it_says_so() -> None:
    answers = {"file": "answers.npz", "sha256": 64 * "a", "for_views": "own"}
    off = ("direct", "refinery", "born_again", "mutual", "compress", "baseline", "student")
    given({"teacher": {"answers": answers}, "method": None, **dict.fromkeys(off)})
    with pytest.raises(UserError, match="trains neither a teacher nor a student"):
        fastest.ways(lambda line: None)


FOLDER: dict[str, Any] = {"source": "imagefolder", "root": "x", "size": 96, "per_class": None}


@pytest.mark.parametrize(
    ("data", "is_prepared", "images"),
    [
        ({}, False, (3, 32, 10)),
        ({**FOLDER, "grayscale": True}, False, (1, 96, 10)),
        ({}, True, (1, 8, 10)),
        (FOLDER, True, (3, 96, 10)),  # what is prepared is of another source
    ],
    ids=str,
)
def test_images_are_as_they_are_prepared_or_asked_for(
    monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], is_prepared: bool, images: tuple[int, int, int]
) -> None:
    given({"data": data, "machine": {"precision": "bfloat16"}})
    folder(Path("x"), {"cat": 2, "dog": 2})
    if is_prepared:
        DATA.parent.mkdir()
        prepare(Data.model_validate({"source": "digits"}), Path(), 0, DATA)
    asked: set[tuple[int, int, int]] = set()

    def steps(architecture: Mapping[str, Any], supplied: Mapping[str, int], on: Device) -> Iterator[float]:
        asked.add((supplied["channels"], supplied["size"], supplied["classes"]))
        yield 1.0

    monkeypatch.setattr(fastest, "_steps", steps)
    assert fastest.ways(lambda sentence: None)
    assert asked == {images}
