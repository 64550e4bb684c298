"""Orders of compression steps over seeds: each runs as its stages do, and the workspace stays as it is."""

import json
import sys

import pytest

from pipeline.commands.orders import Chain, as_json, table
from tests.scratch import Scratch

ORDERS = (sys.executable, "-m", "pipeline", "orders")


def test_the_table_pairs_each_order_with_the_first() -> None:
    first = Chain(("a", "b"), (0.5, 0.7), (0.6, 0.8), (100, 102))
    second = Chain(("b",), (0.5, 0.7), (0.65, 0.87), (50, 50))
    header, one, two = table([first, second])
    assert header == ("order", "validation", "test", "difference to the first", "Holm's p", "bytes")
    assert one == ("a → b", "60.0", "70.0 ± 14.1", "", "", "101")
    assert two == ("b", "60.0", "76.0 ± 15.6", "+6.0 [-6.7, +18.7]", "0.105", "50")


def test_the_table_is_in_the_unit_of_the_metric_that_decides() -> None:
    first = Chain(("a", "b"), (0.5, 0.7), (0.6, 0.8), (100, 102), "nll")
    second = Chain(("b",), (0.5, 0.7), (0.65, 0.87), (50, 50), "nll")
    header, one, two = table([first, second])
    assert header[1] == "validation NLL"
    assert one[1:3] == ("0.600", "0.700 ± 0.141") and two[3] == "+0.060 [-0.067, +0.187]"
    assert [each["select"] for each in as_json([first])] == ["nll"]
    assert "select" not in as_json([Chain(("a",), (0.5,), (0.6,), (1,))])[0], "as files of before have it"


@pytest.mark.long
def test_orders_run_apart(copied: Scratch, lineage: Scratch) -> None:
    said = copied.run(*ORDERS, "distil,tune", "distil", "--seeds", "2", "--out", "out/orders.json")
    assert "training was finished before" in said, "what both begin with is trained once"
    found = json.loads((copied.folder / "out/orders.json").read_text())
    assert [each["order"] for each in found] == [["distil", "tune"], ["distil"]]
    assert all(len(each["test"]) == 2 for each in found)
    assert "distil → tune" in (copied.folder / "out/orders.md").read_text()
    assert copied.hashes() == lineage.hashes()
    assert copied.repro() == ["plan"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["distil,tun"], "error: distil,tun: order: unknown step 'tun', did you mean 'tune'?"),
        (["export,tune"], "error: export,tune: order: 'tune' needs torch weights, but 'export' before it leaves an"),
        (["prune", "distil,"], "error: distil,: order: unknown step ''"),
    ],
    ids=" ".join,
)
def test_an_order_that_makes_no_sense_is_one_sentence(fresh: Scratch, arguments: list[str], sentence: str) -> None:
    (said,) = fresh.run(*ORDERS, *arguments, "--out", "out/orders.json", code=1).splitlines()
    assert said.startswith(sentence)
