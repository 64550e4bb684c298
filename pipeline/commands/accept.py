"""Take over a release: what only its changes of code and of spelling concern is not made again."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.files import Json
from pipeline.base.paths import PLAN
from pipeline.config import params
from pipeline.dvc import cache, internals, lock
from pipeline.dvc.relock import relocked, spec_path
from pipeline.planning import build, graph, releases
from pipeline.planning.specs import cpu, sharing
from pipeline.planning.specs.spec import Spec, write_specs
from pipeline.planning.specs.training import TrainingSpec
from pipeline.training.moved_state import MovedState

LOCK = Path("dvc.lock")
NO_STAGES = ("machine", sharing.NAME, cpu.NAME)


@dataclass
class Taken:
    """What becomes of each node.

    Attributes:
        same: Nodes whose result is of today's spec.
        relocked: The new specs of those that differ only in what the release lists.
        again: Why each of the others runs again.
        state: Saved training that moves.
    """

    same: list[str] = field(default_factory=list)
    relocked: dict[str, Json] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    state: MovedState = field(default_factory=MovedState)

    def lines(self) -> list[str]:
        """What a person reads of it."""
        found = [f"{name} runs again: {why}" for name, why in self.again.items()]
        if self.again:
            found.append("What reads these runs again, too, where they come out otherwise.")
        found.append(
            f"nodes taken over: {len(self.relocked)}, of this release already: {len(self.same)}, "
            f"to run again: {len(self.again)}; saved trainings taken over: {len(self.state.moves)}"
        )
        return found


def accept(*, dry: bool) -> Taken:
    """Let results that this release leaves as they are count as its own, so that `dvc repro` does not make them again.

    Args:
        dry: Only find out which.

    Raises:
        UserError: Nothing has run here; DVC, or a training, runs now; a file cannot be read. Nothing is written then.
    """
    if not LOCK.exists():
        raise UserError(f"there is no {LOCK} here, so there are no results to take over: run `dvc repro`")
    specs = build.build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    if dry:
        return _compared(specs)
    with internals.locked():
        taken = _compared(specs)
        text = relocked(LOCK.read_text(), {_stage(name): spec for name, spec in taken.relocked.items()})
        with taken.state.moved():
            files.write_text(LOCK, text)
        write_specs(specs, PLAN)
    return taken


def _compared(specs: dict[str, Spec]) -> Taken:
    """Compare each spec with that of the node's last result, and with that of the training that was begun last."""
    recorded, root, listed, taken = lock.read(LOCK).stages, cache.folder(), releases.read(), Taken()
    for name, spec in specs.items():
        if name in NO_STAGES:
            continue
        new = spec.as_json()
        deps = recorded.get(_stage(name), {}).get("deps", [])
        md5 = next((dep.get("md5") for dep in deps if dep["path"] == spec_path(_stage(name))), None)
        planned = _read(PLAN / f"{name}.json")
        last = _read(cache.path(root, md5)) if root and md5 else None
        if md5 == lock.spec_hash(new):
            taken.same.append(name)
        elif md5 is None:
            taken.again[name] = "it has not run yet"
        elif last is None:
            taken.again[name] = "the DVC cache no longer holds the spec of its last result"
        elif why := listed.differences(last, new):
            taken.again[name] = releases.in_words(why)
        else:
            taken.relocked[name] = new
        for old in (planned, last):
            if old and old != new and isinstance(spec, TrainingSpec) and _trains_the_same(listed, old, new):
                taken.state.add(name, old, spec)
    return taken


def _trains_the_same(listed: releases.Releases, old: Json, new: Json) -> bool:
    """Whether training by the new spec can go on where the old one stopped, whatever else its stage is to do."""
    if "training" not in old["code"] or "training" not in new["code"]:
        return False
    return not any(each.key.startswith(("training.", "code.training")) for each in listed.differences(old, new))


def _read(path: Path) -> Json | None:
    with suppress(UserError):
        return files.read_sealed(path)
    return None


def _stage(name: str) -> str:
    return name.replace("/", "@", 1)
