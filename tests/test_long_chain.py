"""64 generations: they train, resume and carry, and a slot costs us the same at the end as at the beginning."""

import statistics
import time
from pathlib import Path

import pytest

from pipeline.base import files
from tests.faults.graph import resize, stages
from tests.faults.points import Fault
from tests.faults.process import Running
from tests.scratch import create

SLOTS, TRAINED = 64, 48
RESUMED = 40


@pytest.mark.long
def test_64_generations(tmp_path: Path) -> None:
    scratch = create(tmp_path / "repository")
    resize(scratch.folder, {"assistant": 1, "refinery": SLOTS, "born_again": 1}, ["soft_targets"])
    scratch.edit(
        {
            "refinery": {"generations": TRAINED, "patience": None, "recipe": {"epochs": 1}},
            "baseline": {"recipe": {"epochs": 1}},
            "labels": {"views": 1},
        }
    )
    wanted = {"plan", "prepare", "baseline", "refined", *(f"refinery/g{n}" for n in range(1, SLOTS + 1))}
    seconds: dict[str, float] = {}
    for stage in (each for each in stages(scratch.folder) if each.name in wanted):
        arguments = scratch.folder, tmp_path / "state", stage.verb, tmp_path / "log"
        if stage.name == f"refinery/g{RESUMED}":
            struck = Running(*arguments, Fault("SIGKILL", 40)).end()
            assert struck.status < 0, struck.said
        began = time.perf_counter()
        ended = Running(*arguments).end()
        seconds[stage.name] = time.perf_counter() - began
        assert ended.status == 0, ended.said
    assert set(seconds) == wanted

    def node(number: int) -> dict:
        return files.read_sealed(scratch.folder / "artifacts" / "refinery" / f"g{number}" / "node.json")

    names = ["baseline", *(f"refinery/g{n}" for n in range(1, TRAINED + 1))]
    assert [name for name, _ in node(SLOTS)["chain"]] == names
    assert [node(n)["status"] for n in range(1, SLOTS + 1)] == ["trained"] * TRAINED + ["carried"] * (SLOTS - TRAINED)
    assert {node(n)["origin"] for n in range(TRAINED + 1, SLOTS + 1)} == {f"refinery/g{TRAINED}"}
    for first, last in ((1, TRAINED - 7), (TRAINED + 1, SLOTS - 7)):
        early, late = (statistics.median(seconds[f"refinery/g{n + k}"] for k in range(8)) for n in (first, last))
        assert late < 2 * early + 0.1, "another machine's load aside, a slot costs the same"
        print(f"slots {first} to {first + 7}: {early:.3f} s each, {last} to {last + 7}: {late:.3f} s each")
