"""`python -m pipeline flips`: what is lost and won, of nodes and of files, and the gate."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.commands import flips
from pipeline.commands.flips import Compared, by_class, figures, gate, images, summary
from pipeline.data.prepared import Prepared, Split
from pipeline.evaluation.flips import Flips
from pipeline.report.flips import MOST
from tests.scratch import Scratch

COMMAND = (sys.executable, "-m", "pipeline", "flips")


def compared(y: list[int], first: list[int], second: list[int]) -> Compared:
    y_N, first_N, second_N = map(np.array, (y, first, second))
    pixels = np.zeros((len(y), 1, 8, 8), np.uint8)
    split = Split(pixels, y_N)  # pyright: ignore[reportArgumentType]
    data = Prepared(split, split, split, split.labels, ("cat", "dog", "cow"), (0.0,), (1.0,), 1, 8, "hash")
    return Compared("teacher", "student", "test", data, y_N, first_N, second_N)


FEW = compared([0, 0, 1, 1, 2, 2, 2], first=[0, 0, 1, 0, 1, 2, 1], second=[0, 1, 1, 1, 0, 0, 1])


def test_what_is_lost_won_and_answered_wrongly_in_another_way() -> None:
    assert (FEW.lost.tolist(), FEW.won.tolist(), FEW.moved.tolist()) == ([1, 5], [3], [4])
    assert FEW.flips == Flips(7, 2, 1)
    assert images(FEW)[1:] == [
        ("1", "lost", "cat", "cat", "dog"),
        ("5", "lost", "cow", "cow", "cat"),
        ("3", "won", "dog", "cat", "dog"),
    ]
    assert by_class(FEW)[1:] == [("cat", "2", "1", "0"), ("cow", "3", "1", "0"), ("dog", "2", "0", "1")]
    first, second, third = summary(FEW)
    assert first == "teacher gets 57.14 % of 7 test images right, student 42.86 %"
    assert second == "2 lost, 1 won, 1 answered wrongly by both, and not alike"
    assert third.startswith("a drop of 14.29 points; on other images of this kind ") and third.endswith("exact p 1")
    assert figures(FEW)["wrong_differently"] == 1 and figures(FEW)["drop"] == pytest.approx(1 / 7)


def of(count: int, lost: int, won: int) -> Compared:
    """Two of which the first alone gets `lost` images right, and the second alone `won`."""
    first = [1] * lost + [0] * won + [1] * (count - lost - won)
    second = [0] * lost + [1] * won + [1] * (count - lost - won)
    return compared([1] * count, first, second)


def test_the_gate_passes_what_is_proven_only() -> None:
    assert gate(of(400, 0, 0), 0.01).startswith(
        "student loses at most 0.76 points of accuracy on other images of this kind"
    )
    with pytest.raises(UserError, match=r"with the same share of flips 304 images would prove it, and there are 200"):
        gate(of(200, 0, 0), 0.01)
    with pytest.raises(UserError, match=r"it loses 2\.00 on these, so that more images of this kind will hardly help"):
        gate(of(200, 4, 0), 0.01)
    assert "it is worse all the same (McNemar's exact p 0.0" in gate(of(2000, 9, 1), 0.01)
    for share in (0.0, -0.1, 1.0, float("nan")):
        with pytest.raises(UserError, match="give a share above 0 and below 1, as a drop of 0 can never be proven"):
            gate(of(400, 0, 0), share)


def test_a_page_shows_the_pictures_as_far_as_it_stays_light(tmp_path: Path) -> None:
    flips.write(of(2 * MOST + 50, MOST + 7, 2), tmp_path / "flips.html")
    text = (tmp_path / "flips.html").read_text()
    assert text.count("data:image/png") == MOST + 2 and "7 more are left out to keep this page light" in text
    assert "207 lost: teacher alone is right" in text and not re.search(r"<script|https?://", text)


def test_nodes_and_the_file_that_ships_are_compared(lineage: Scratch, tmp_path: Path) -> None:
    first, *rest = lineage.run(*COMMAND, "teacher", "compress/c5", "--split", "test", "--json").splitlines()
    found = json.loads(first)
    numbers = [json.loads((lineage.folder / f"metrics/{name}.json").read_text()) for name in ("teacher", "compress/c5")]
    drop = numbers[0]["test"]["accuracy"] - numbers[1]["test"]["accuracy"]
    assert found["drop"] == pytest.approx(drop) and len(rest) == found["lost"] + found["won"]
    file = "artifacts/compress/c5/model.onnx"
    same = lineage.run(*COMMAND, "compress/c5", file, "--html", str(tmp_path / "a.html")).splitlines()
    assert "0 lost, 0 won, 0 answered wrongly by both, and not alike" in same
    assert (tmp_path / "a.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["teacher", "studnt"], "studnt"),
        (["teacher", "no.onnx"], "no.onnx"),
        (["teacher", "student", "--split", "tets"], "--split: unknown split 'tets', did you mean 'test'?"),
        (["teacher", "student", "--max-drop", "0"], "--max-drop is 0: give a share above 0 and below 1"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(lineage: Scratch, arguments: list[str], sentence: str) -> None:
    *_, said = lineage.run(*COMMAND, *arguments, code=1).splitlines()
    assert sentence in said and said.startswith("error: ")
