"""What is printed of a training before it starts."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.data.prepared import Split
from pipeline.dvc import previous_run
from pipeline.dvc.previous_run import PreviousRun
from pipeline.planning.specs.training import TuneSettings
from pipeline.training import job
from pipeline.training.device import Device

PLAIN = {"family": "plain", "depth": None, "widths": [4, 8]}
IMAGES = {"channels": 1, "size": 8, "classes": 10}
CPU = Device(torch.device("cpu"), torch.float32)


def words(
    monkeypatch: pytest.MonkeyPatch,
    previous: PreviousRun | None,
    architecture: Any,
    bits: Any = None,
    labels: np.ndarray = np.zeros(100),
) -> str:
    """Size and network, as the header has them, of a training on 100 images for 3 epochs."""
    train = Split(np.zeros((len(labels), 1, 8, 8), np.uint8), labels)
    monkeypatch.setattr(previous_run, "read", lambda node: previous)
    tuned = {"bits": bits} if bits else {}
    kind = type("Settings", (TuneSettings,) if bits else (), {"__init__": lambda self: None})
    settings: Any = kind()
    for key, value in {
        "members": None,
        "architecture": architecture,
        "input": None,
        "teaching": "stored",
        **tuned,
    }.items():
        object.__setattr__(settings, key, value)
    learner = SimpleNamespace(model=nn.Linear(2, 2), objective=SimpleNamespace(terms={"cross_entropy": {}}))
    training: Any = SimpleNamespace(
        learners=[learner],
        steps=10,
        sizes_S=[10] * 10,
        recipe=SimpleNamespace(batch_size=10, epochs=3),
        data=SimpleNamespace(channels=1, size=8, classes=range(10), train=train),
    )
    spec: Any = SimpleNamespace(node="student", teacher=None, training=settings)
    found = job.describe(spec, training, CPU)
    return f"{found.network}: {found.size}"


def test_a_time_is_expected_where_network_size_and_data_are_those_of_the_last_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = ({**PLAIN, **IMAGES},)
    assert "about 30 s" in words(monkeypatch, PreviousRun({}, 10.0, last), PLAIN)
    wider = {**PLAIN, "widths": [64, 128]}
    larger = ({**PLAIN, **IMAGES, "size": 64},)
    bits = SimpleNamespace(as_json=lambda: {"weight_bits": 8, "activation_bits": None})
    for run, architecture, on_bits in (
        (PreviousRun({}, 10.0, last), wider, None),
        (PreviousRun({}, 10.0, larger), PLAIN, None),
        (PreviousRun({}, 10.0, last, same_data=False), PLAIN, None),
        (PreviousRun({}, 10.0, last * 2), PLAIN, None),
        (PreviousRun({}, 10.0, last), PLAIN, bits),
        (None, PLAIN, None),
    ):
        assert words(monkeypatch, run, architecture, on_bits).endswith(": 100 images, 3 epochs")


def test_the_surgery_of_a_pruned_network_is_told_in_a_few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    surgery = {f"stage{number}": {"kept": [*range(1000)]} for number in range(3)}
    told = words(monkeypatch, None, {**PLAIN, "surgery": surgery})
    assert told == "plain widths [4, 8] with changed layers (6 parameters): 100 images, 3 epochs"


def test_images_without_a_label_are_counted_among_those_learned_from_or_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = np.full(60, -1)
    among = words(monkeypatch, None, PLAIN, labels=np.concatenate([np.zeros(40), bare]))
    assert among.endswith(": 100 images (60 of them without a label), 3 epochs")
    beside = words(monkeypatch, None, PLAIN, labels=np.concatenate([np.zeros(100), bare]))
    assert beside.endswith(": 100 images (60 more without a label), 3 epochs")
