"""Faults of a file system itself: one that is full, one that turns read-only. They need the right to mount one."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.families import Family, told
from tests.faults.world import Workspace, World

ROOM = 64 << 20  # bytes: more than any run here needs


def mountable(folder: Path) -> bool:
    """Whether we may mount a file system of our own."""
    try:
        with mounted(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


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
        _mount("remount,ro", folder)
        said = told(outside.run())
        assert said != "finished all the same"
        space.check_whole()
        _mount("remount,rw", folder)
        space.check_recovers()
        shutil.rmtree(outside.log)
    return said


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """Work in a file system of its own, in memory, which is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount(f"size={ROOM}", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def limited(folder: Path, size: int) -> None:
    """Let the file system hold so many bytes and no more."""
    _mount(f"remount,size={size}", folder)


def _mount(options: str, folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


def used(folder: Path) -> int:
    """Bytes that the file system holds."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


DISKS: dict[str, Family] = {family.__name__: family for family in (full, read_only)}
