"""Nodes and pointers: what a stage leaves behind is what the next one reads."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.lineage import node
from pipeline.lineage.node import Node

FIRST = Node(
    name="refinery/g1",
    status="trained",
    provides=("weights", "labels"),
    format="safetensors",
    architecture={"family": "plain", "widths": [4, 8], "channels": 1, "size": 8, "classes": 10},
    lineage=({"teacher": "baseline", "read": "labels", "hash": "a" * 64},),
    chain=(("baseline", 0.5), ("refinery/g1", 0.625)),
    hashes={"weights": "b" * 64, "labels": "c" * 64},
)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(each: Node) -> Node:
    with node.writing(each.name) as folder:
        node.write(folder, each)
    return each


def test_a_node_reads_as_it_was_written() -> None:
    written(FIRST)
    assert node.read("refinery/g1") == FIRST
    assert node.read("refinery/g1").weights == Path("artifacts/refinery/g1/model.safetensors")


def test_pointers_lead_straight_to_the_network_behind_them() -> None:
    written(FIRST)
    for number in range(2, 6):
        node.carry(f"refinery/g{number}", node.read(f"refinery/g{number - 1}"))
    last = node.read("refinery/g5")
    assert (last.name, last.status, last.origin, last.source) == ("refinery/g5", "carried", *["refinery/g1"] * 2)
    assert (last.weights, last.labels, last.predictions) == (FIRST.weights, FIRST.labels, FIRST.predictions)
    assert (last.chain, last.lineage, last.hashes) == (FIRST.chain, FIRST.lineage, FIRST.hashes)
    assert os.listdir("artifacts/refinery/g5") == ["node.json"]
    assert json.loads(Path("metrics/refinery/g5.json").read_text())["origin"] == "refinery/g1"


@pytest.mark.parametrize("content", ["weights", "labels"])
def test_what_is_retrained_behind_a_pointer_changes_the_pointer(content: str) -> None:
    path = Path("artifacts/refinery/g2/node.json")
    node.carry("refinery/g2", written(FIRST))
    before = path.read_bytes()
    node.carry("refinery/g2", written(FIRST))
    assert path.read_bytes() == before
    node.carry("refinery/g2", written(Node(**{**vars(FIRST), "hashes": {**FIRST.hashes, content: "d" * 64}})))
    assert path.read_bytes() != before


def test_a_slot_that_trains_again_is_no_pointer_any_more() -> None:
    node.carry("refinery/g2", written(FIRST))
    written(Node(name="refinery/g2", status="trained"))
    assert node.read("refinery/g2").folder == Path("artifacts/refinery/g2")


def test_a_stage_that_fails_leaves_what_was_there() -> None:
    written(FIRST)
    with pytest.raises(RuntimeError), node.writing("refinery/g1") as folder:
        (folder / "model.safetensors").write_bytes(b"half")
        raise RuntimeError
    assert node.read("refinery/g1") == FIRST
    assert os.listdir("artifacts/refinery") == ["g1"]


def test_where_the_numbers_cannot_be_written_the_node_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a node without numbers, or with those of an earlier training, would be taken for a result."""
    written(FIRST)

    def full(path: Path, content: str) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(files, "write_text", full)
    with pytest.raises(OSError, match="the disk is full"):
        node.write_numbers("refinery/g1", {"status": "trained"}, "epoch\n")
    assert not [*Path("artifacts/refinery").iterdir()]
    assert not [path for path in Path("metrics").rglob("*") if path.is_file()]


def test_a_step_that_is_switched_off_is_skipped() -> None:
    node.skip("method/dkd")
    each = node.read("method/dkd")
    assert (each.status, each.provides, each.chain) == ("skipped", (), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 0}, "is of schema 0 and this version reads schema 1"),
        ({"wrong": 1}, "damaged"),
        ({"chain": [1]}, "damaged"),
        ({"chain": [["x", "y"]]}, "damaged"),
        ({"lineage": 5}, "damaged"),
        ({"lineage": [{"read": "labels"}]}, "damaged"),
        ({"provides": ["weights"]}, "damaged .*it has no hash of its weights"),
        ({"status": "trusted"}, "damaged .*'trusted' is no status"),
        ({"select": "taste"}, "damaged .*'taste' is no metric"),
        ({"select": ["nll"]}, "damaged .*is no metric"),
        ({"architecture": "residual"}, "damaged .*its architecture is no mapping"),
        ({"hashes": 3}, "damaged"),
        ({"format": "../../../../etc/passwd"}, "damaged .*is no format of weights"),
        ({"origin": "../../etc"}, "damaged .*'../../etc' is no name of a node"),
        ({"origin": "/etc"}, "damaged .*'/etc' is no name"),
        ({"name": "x;touch y"}, "damaged .*is no name"),
        ({"lineage": [{"teacher": "a/../b", "read": "labels", "hash": "0"}]}, "damaged .*'a/../b' is no name"),
        ({"chain": [["..", 0.5]]}, "damaged .*'..' is no name"),
    ],
    ids=str,
)
def test_a_node_of_another_shape_is_named(change: dict[str, Any], message: str) -> None:
    whole = {"schema": 1, "name": "x", "status": "trained"}
    files.write_sealed(Path("artifacts/x/node.json"), whole)
    assert node.read("x").name == "x"
    files.write_sealed(Path("artifacts/x/node.json"), whole | change)
    with pytest.raises(UserError, match=rf"artifacts/x/node\.json.*{message}"):
        node.read("x")


@pytest.mark.parametrize(("old", "new"), [('"trained"', '"carried"'), ("}", ""), ("0.625", "0.626")])
def test_a_node_that_was_changed_is_refused(old: str, new: str) -> None:
    written(FIRST)
    path = Path("artifacts/refinery/g1/node.json")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=r"artifacts/refinery/g1/node\.json is damaged"):
        node.read("refinery/g1")


def test_a_missing_node_says_how_to_make_it() -> None:
    with pytest.raises(UserError, match=r"artifacts/x/node\.json is missing: run `dvc repro`"):
        node.read("x")
