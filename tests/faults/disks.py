"""Faults of a file system itself: one that is full, one that turns read-only. They need the right to mount one."""

import random
import shutil
from pathlib import Path

from tests.faults.families import Family, told
from tests.faults.mounts import ROOM, limited, mount, mounted, used
from tests.faults.world import Workspace, World


def full(world: World, draw: random.Random, folder: Path) -> str:
    """A tmpfs with room for a random part of what the stage writes: ENOSPC from the kernel, in any write."""
    stage = draw.choice(world.stages)
    with mounted(folder), world.workspace(stage, folder / "run") as space:
        limited(folder, used(folder) + draw.choice([0, draw.randrange(20_000), draw.randrange(200_000)]))
        said = told(space.run())
        space.check_whole()
        limited(folder, ROOM)
        space.check_recovers()
    return said


def read_only(world: World, draw: random.Random, folder: Path) -> str:
    """A file system that is read-only: EROFS from the kernel, at the first change."""
    stage = draw.choice(world.stages)
    with mounted(folder), world.workspace(stage, folder / "run") as space:
        space.state.mkdir()
        outside = Workspace(space.folder, space.state, folder.with_name(f"{folder.name}.logs"), stage, space.reference)
        mount("remount,ro", folder)
        said = told(outside.run())
        assert said != "finished all the same"
        space.check_whole()
        mount("remount,rw", folder)
        space.check_recovers()
        shutil.rmtree(outside.log)
    return said


DISKS: dict[str, Family] = {family.__name__: family for family in (full, read_only)}
