"""The layers of a planned network are listed as params.yaml may name them."""

import pytest

from pipeline.base.errors import UserError
from pipeline.commands.layers import lines
from tests.scratch import Scratch


def test_the_layers_of_a_network_are_those_that_a_term_may_name(
    lineage: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lineage.folder)
    header, *rows = lines("teacher")
    assert header == ("layer", "shape", "what it is")
    names = [name for name, *_ in rows]
    assert names[-2:] == ["embedding", "logits"] and names[0] == "stage1"
    assert [shape.count("x") for _, shape, _ in rows] == [2] * (len(rows) - 2) + [0, 0]


def test_an_unknown_node_is_named_with_the_nearest(lineage: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lineage.folder)
    with pytest.raises(UserError, match="unknown node that is trained 'techer', did you mean 'teacher'"):
        lines("techer")
