"""A seeded set of faults; `python -m tests.faults --count 300 --seed 1` is the long one."""

import random
from pathlib import Path

import pytest

from tests.faults.disks import DISKS
from tests.faults.families import FAMILIES
from tests.faults.graph import resize, stages
from tests.faults.mounts import mountable
from tests.faults.world import World, build
from tests.scratch import Scratch, create

SEED = 1
EACH = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Scratch]:
    return build(tmp_path_factory.mktemp("faults") / "reference")


@pytest.mark.long
@pytest.mark.parametrize("number", range(EACH))
@pytest.mark.parametrize("name", FAMILIES)
def test_struck_in_a_stage(world: tuple[World, Scratch], tmp_path: Path, name: str, number: int) -> None:
    FAMILIES[name](world[0], random.Random(f"{SEED} {name} {number}"), tmp_path / "struck")


@pytest.mark.long
@pytest.mark.parametrize("name", DISKS)
def test_struck_by_its_disk(world: tuple[World, Scratch], tmp_path: Path, name: str) -> None:
    if not mountable(tmp_path / "mounted"):
        pytest.skip("a file system of our own needs the right to mount one")
    DISKS[name](world[0], random.Random(f"{SEED} {name}"), tmp_path / "struck")


@pytest.mark.long
def test_a_difference_is_found(world: tuple[World, Scratch], tmp_path: Path) -> None:
    """The comparison can fail: one other byte of a result, one file too many."""
    stage = next(stage for stage in world[0].stages if stage.name == "baseline")
    with world[0].workspace(stage, tmp_path / "struck") as space:
        assert space.run().status == 0
        space.check_same()
        path = space.folder / "artifacts" / "baseline" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
        with pytest.raises(AssertionError, match=r"artifacts/baseline/model\.safetensors"):
            space.check_whole()
        with pytest.raises(AssertionError, match=r"differs: artifacts/baseline/model\.safetensors"):
            space.check_same()
        assert space.run().status == 0
        (path.parent / ".left.1.tmp").touch()
        with pytest.raises(AssertionError, match=r"artifacts/baseline/\.left\.1\.tmp"):
            space.check_same()


def test_another_number_of_slots(tmp_path: Path) -> None:
    scratch = create(tmp_path / "repository")
    resize(scratch.folder, {"assistant": 1, "refinery": 3, "born_again": 2}, ["soft_targets"])
    scratch.stage("plan")
    found = stages(scratch.folder)
    names = [stage.name for stage in found]
    assert [name for name in names if name.startswith("refinery/")] == [f"refinery/g{n}" for n in (1, 2, 3)]
    assert names.index("baseline") < names.index("refinery/g1") < names.index("refined") < names.index("summary")
    (refined,) = (stage for stage in found if stage.name == "refined")
    assert [dep for dep in refined.deps if "/refinery/" in dep] == [f"artifacts/refinery/g{n}" for n in (1, 2, 3)]
