"""What is logged of labels that cannot give what an objective asks of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training import runs

TOPK = {"labels": {"kind": "topk", "k": 3}}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("topk")
    with runs.inside(folder):
        yield runs.furnish(folder, TOPK)


@pytest.mark.parametrize(("temperature", "warned"), [(4.0, True), (1.0, False)])
def test_a_tail_that_is_spread_evenly_is_named_where_it_weighs_much(
    specs: dict[str, Any], capsys: pytest.CaptureFixture[str], temperature: float, warned: bool, tmp_path: Path
) -> None:
    of = runs.training(specs["direct"], objective={"soft_targets": {"weight": 1.0, "temperature": temperature}})
    printed = capsys.readouterr().out
    assert ("direct: labels.kind topk keeps 3 of 10 logits" in printed) == warned
    runs.run(of, tmp_path)
