"""Stored logits are those that were written, or are refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions, write_predictions

LOGITS = {"validation": torch.arange(6.0).view(2, 3), "test": -torch.arange(12.0).view(4, 3)}


def written(logits: dict[str, Tensor] = LOGITS) -> Node:
    """A node with these answers, in the current folder."""
    node = Node("teacher", "trained", ("predictions",))
    return replace(node, hashes={"predictions": write_predictions(node.folder, logits)})


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_they_come_back_by_split() -> None:
    found = read_predictions(written())
    assert found.keys() == LOGITS.keys()
    assert all(torch.equal(found[split], z_NC) for split, z_NC in LOGITS.items())


def test_those_of_another_training_are_refused() -> None:
    """A whole file, but not the one that the node speaks of."""
    node = written()
    written({split: z_NC + 1 for split, z_NC in LOGITS.items()})
    with pytest.raises(UserError, match="its SHA-256 is not the recorded one"):
        read_predictions(node)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_single_logit_that_is_no_number_is_named(value: float) -> None:
    broken = LOGITS["test"].clone()
    broken[2, 1] = value
    with pytest.raises(UserError, match="test image 2 a logit that is not finite"):
        written({**LOGITS, "test": broken})
