"""Families of faults within a stage: each strikes a fresh copy of the lineage, reruns, and compares every byte.

Each takes the world, a generator of its draws and a folder to work in, and returns what the struck run did, in a
word or two. Whatever it finds wrong is an `AssertionError`.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

from pipeline.base.files import read_sealed, write_sealed
from tests.faults import power
from tests.faults.points import ERRORS, SIGNALS, Fault
from tests.faults.process import Ended
from tests.faults.world import World

Family = Callable[[World, random.Random, Path], str]
SAID = "one sentence, status 1"
DONE = "finished all the same"


def killed(world: World, draw: random.Random, folder: Path) -> str:
    """SIGKILL, SIGTERM or SIGINT at any file operation, write, read or step; up to three times in a row."""
    return _strike(world, draw, folder, [*SIGNALS])


def torn(world: World, draw: random.Random, folder: Path) -> str:
    """Killed in the middle of a write, at any byte."""
    return _strike(world, draw, folder, ["torn"])


def failing(world: World, draw: random.Random, folder: Path) -> str:
    """ENOSPC, EDQUOT, EIO, EROFS or EACCES at any write, rename, removal or new folder."""
    return _strike(world, draw, folder, [*ERRORS])


def unreadable(world: World, draw: random.Random, folder: Path) -> str:
    """EIO at any opening or read of a file."""
    return _strike(world, draw, folder, ["EIO read"])


def clock(world: World, draw: random.Random, folder: Path) -> str:
    """A clock that jumps by up to three years at each look, and inputs from the future and the past."""
    stage = draw.choice(world.stages)
    with world.workspace(stage, folder) as space:
        for path in space.folder.rglob("*"):
            moment = draw.uniform(0, 4e9)
            os.utime(path, (moment, moment))
        ended = space.run(Fault("clock", seed=draw.getrandbits(32)))
        assert ended.status == 0, ended.said
        space.check_same()
    return DONE


def saving_beside(world: World, draw: random.Random, folder: Path) -> str:
    """A signal, a torn write or a failing one in a training that does not wait for its saves, once or twice.

    What a point is then depends on how far the thread is, so not every run with the same seed is struck in the same.
    """
    stage = draw.choice([stage for stage in world.stages if _trains(world, stage.name)])
    outcome = DONE
    with world.workspace(stage, folder / "run") as space:
        machine = space.folder / "plan" / "machine.json"
        waiting = machine.read_bytes()
        write_sealed(machine, {**read_sealed(machine), "state_every": 1e-9})
        for _ in range(draw.randint(1, 2)):
            fault = Fault(draw.choice([*SIGNALS, "torn", *ERRORS]), seed=draw.getrandbits(32))
            points = world.points(stage, fault, folder / "count")
            ended = space.run(Fault(fault.what, draw.randint(1, points), fault.seed))
            outcome = _signalled(ended) if fault.what in (*SIGNALS, "torn") else told(ended)
            space.check_whole()
        machine.write_bytes(waiting)
        space.check_recovers()
    return outcome


def quota(world: World, draw: random.Random, folder: Path) -> str:
    """No file may grow beyond a random size (RLIMIT_FSIZE): EFBIG from the kernel, in the middle of a write."""
    stage = draw.choice(world.stages)
    with world.workspace(stage, folder) as space:
        said = told(space.run(largest=draw.choice([0, draw.randrange(1000), draw.randrange(20_000)])))
        space.check_whole()
        space.check_recovers()
    return said


def power_cut(world: World, draw: random.Random, folder: Path) -> str:
    """The power goes at any point: what was not flushed is cut short, the last renames are undone."""
    stage = draw.choice(world.stages)
    points = world.points(stage, Fault("power"), folder / "count")
    with world.workspace(stage, folder / "run") as space:
        for _ in range(draw.randint(1, 2)):
            folders = [space.folder, space.state]
            old = power.inodes(each for each in folders if each.is_dir())
            ended = space.run(Fault("power", draw.randint(1, points), draw.getrandbits(32)))
            assert ended.status in (-SIGNALS["SIGKILL"], 0), ended.said
            if ended.status:
                power.lose(folders, old, space.log / "log" / "journal", draw)
            space.remove_outs()
        space.check_recovers()
    return "ended at once"


def damaged_input(world: World, draw: random.Random, folder: Path) -> str:
    """A bit flipped in, or the end cut off, any file that the stage depends on: named, or of no consequence."""
    stage = draw.choice([stage for stage in world.stages if stage.deps])
    with world.workspace(stage, folder) as space:
        files = [path for dep in (*stage.deps, "plan/machine.json") for path in _files(space.folder / dep)]
        path = draw.choice(files)
        content = path.read_bytes()
        damage(path, draw)
        ended = space.run()
        if ended.status == 0:
            path.write_bytes(content)
            space.check_same()
            return "not read, or the same value"
        told(ended)
        name = path.relative_to(space.folder).as_posix()
        assert name in ended.said, f"{name} was damaged, and not named: {ended.said}"
        space.check_whole()
        path.write_bytes(content)
        space.check_recovers()
    return "named, status 1"


def damaged_state(world: World, draw: random.Random, folder: Path) -> str:
    """Killed in training; then the saved state, the one before, or both, are torn or flipped at any byte."""
    stage = draw.choice([stage for stage in world.stages if _trains(world, stage.name)])
    points = world.points(stage, Fault("SIGKILL"), folder / "count")
    with world.workspace(stage, folder / "run") as space:
        space.run(Fault("SIGKILL", draw.randint(points // 4, points), draw.getrandbits(32)))
        states = sorted(path for path in space.state.rglob("state*") if path.is_file())
        for path in draw.sample(states, draw.randint(0, len(states))):
            damage(path, draw)
        if draw.random() < 0.2:
            for path in space.state.rglob("state"):
                path.unlink()
        space.check_recovers()
    return "went on, or began anew"


def second_process(world: World, draw: random.Random, folder: Path) -> str:
    """Two processes on one stage at once, in one workspace; the first is killed, or not."""
    stage = draw.choice(world.stages)
    points = world.points(stage, Fault("SIGKILL"), folder / "count")
    with world.workspace(stage, folder / "run") as space:
        kill = draw.random() < 0.5
        first = space.start(Fault("SIGKILL", draw.randint(1, points)) if kill else None)
        second = space.start(log="second")
        one, other = first.end(), second.end()
        assert one.status in (0, -SIGNALS["SIGKILL"]), one.said
        assert other.status == 0, other.said
        space.check_whole()
        if one.status:  # what it had begun lies about until the same is written again
            space.remove_outs()
            assert space.run().status == 0
        space.check_same()
    return "one result"


def damage(path: Path, draw: random.Random) -> None:
    """Flip one bit, or cut the file off, anywhere."""
    content = bytearray(path.read_bytes())
    if content and draw.random() < 0.7:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    else:
        del content[draw.randint(0, max(0, len(content) - 1)) :]
    path.write_bytes(content)


def _strike(world: World, draw: random.Random, folder: Path, what: list[str]) -> str:
    """Strike one to three times, then rerun; between two strikes DVC may or may not have removed the outs."""
    stage = draw.choice(world.stages)
    outcome = DONE
    with world.workspace(stage, folder / "run") as space:
        for _ in range(draw.choice([1, 1, 2, 3])):
            fault = Fault(draw.choice(what), seed=draw.getrandbits(32))
            points = world.points(stage, fault, folder / "count")
            if points == 0:
                continue
            ended = space.run(Fault(fault.what, draw.randint(1, points), fault.seed))
            outcome = _signalled(ended) if fault.what in (*SIGNALS, "torn") else told(ended)
            space.check_whole()
            if draw.random() < 0.5:
                space.remove_outs()
        space.check_recovers()
    return outcome


def _signalled(ended: Ended) -> str:
    """How a stage ended that was asked to, or made to: no traceback."""
    assert "Traceback" not in ended.said, ended.said
    if ended.status == 0:
        return DONE
    if ended.status == 130:
        return "progress is saved, status 130"
    assert ended.status in (1, -SIGNALS["SIGKILL"], -SIGNALS["SIGTERM"]), f"{ended.status}: {ended.said}"
    return "ended at once"


def told(ended: Ended) -> str:
    """How a stage ended that something was kept from: one sentence, or it did without."""
    assert "Traceback" not in ended.said, ended.said
    if ended.status == 0:
        return DONE
    assert ended.status == 1 and ended.said.splitlines()[-1].startswith("error: "), f"{ended.status}: {ended.said}"
    return SAID


def _trains(world: World, name: str) -> bool:
    folder = world.reference / "artifacts" / name
    return any((folder / each).exists() for each in ("model.safetensors", "members"))


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        killed,
        torn,
        failing,
        unreadable,
        power_cut,
        saving_beside,
        quota,
        clock,
        damaged_input,
        damaged_state,
        second_process,
    )
}
