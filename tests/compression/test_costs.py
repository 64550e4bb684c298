"""What a compressed network costs beside its teacher."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.compression import costs
from pipeline.compression.export_onnx import NotExported


def test_what_takes_a_quarter_of_the_teachers_time_is_four_times_as_fast() -> None:
    asked: list[int] = []

    def calls(batch: int) -> list[Callable[[], object]]:
        asked.append(batch)
        return [lambda: time.sleep(0.002), lambda: time.sleep(0.008)]

    found = costs._latencies(calls)
    assert asked == [1, 64]
    assert found.keys() == {"batch_1", "batch_64"}
    for each in found.values():
        assert 2 <= each["ms"] < each["teacher_ms"]
        assert each["ratio"] == pytest.approx(each["teacher_ms"] / each["ms"], rel=1e-2)
        assert 2 < each["ratio"] < 5


def test_a_teacher_that_cannot_be_exported_is_named_and_the_file_timed_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="what exports needs it")

    def refuse(*given: Any) -> None:
        raise NotExported("torch cannot write this network")

    monkeypatch.setattr("pipeline.compression.export_onnx.export", refuse)
    for name in ("work.card_of", "costs.load"):
        monkeypatch.setattr(f"pipeline.compression.{name}", lambda *given: None)
    card = SimpleNamespace(size=4)
    runtime: Any = SimpleNamespace(card=card, run=lambda images: images.sum())
    teacher: Any = SimpleNamespace(architecture={}, source="teacher")
    found = costs.of_file(runtime, teacher, SimpleNamespace(channels=3), None)  # pyright: ignore[reportArgumentType]
    assert all(each.keys() == {"ms"} for each in found.values())
    assert capsys.readouterr().out == "teacher is not timed beside the file: torch cannot write this network\n"


def test_beside_a_teacher_that_is_no_network_of_ours_there_is_no_ratio() -> None:
    found = costs._latencies(lambda batch: [lambda: None])
    assert all(each.keys() == {"ms"} for each in found.values())
