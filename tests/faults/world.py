"""A finished lineage in a small graph, and fresh copies of it in which one stage is to run again."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.compare import TOPS, difference, results
from tests.faults.graph import Stage, resize, stages
from tests.faults.points import Fault
from tests.faults.process import Ended, Running, run_all
from tests.scratch import COMMIT, METHODS, Scratch, create

# As little as has every kind of stage: trained, carried beyond the length, carried by the stop rule, computed.
LENGTHS = {"assistant": 1, "refinery": 2, "born_again": 2}
SMALL = {
    "teacher": {"recipe": {"epochs": 3}},
    "baseline": {"recipe": {"epochs": 8, "keep": "best", "ema": 0.9, "accumulate": 2}},
    "direct": {"recipe": {"optimizer": "torch.optim.RAdam", "lr": 0.01, "head_lr": 0.02}},
    "refinery": {"generations": 2},
    "labels": {"views": 2},
    "compress": {"order": ["distil", "prune"]},
}


@dataclass
class Workspace:
    """A copy of the lineage in which one stage is to run, and a place for its training state."""

    folder: Path
    state: Path
    log: Path
    stage: Stage
    reference: dict[str, str]

    def start(self, fault: Fault | None = None, largest: int | None = None, log: str = "log") -> Running:
        """Start the stage."""
        return Running(self.folder, self.state, self.stage.verb, self.log / log, fault, largest)

    def run(self, fault: Fault | None = None, largest: int | None = None) -> Ended:
        """Run the stage to its end."""
        return self.start(fault, largest).end()

    def remove_outs(self) -> None:
        """As DVC does before it runs a stage."""
        for out in self.stage.outs:
            path = self.folder / out
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def check_whole(self) -> None:
        """Each artifact of the stage is that of the undisturbed run, or not there; so is each other file."""
        for out in self.stage.outs:
            expected = {path: each for path, each in self.reference.items() if f"{path}/".startswith(f"{out}/")}
            found = results(self.folder, out)
            if out.startswith("artifacts"):
                whole = found in ({}, expected)
            else:  # a file whose writer was killed lies about until the same is written again
                whole = {item for item in found.items() if not _is_temporary(item[0])} <= expected.items()
            assert whole, f"{out} is half there: {difference(found, expected)}"

    def check_same(self) -> None:
        """Everything is as in the undisturbed run, and nothing else lies about."""
        found = results(self.folder)
        assert found == self.reference, f"differs: {difference(found, self.reference)}"

    def check_recovers(self) -> None:
        """Run undisturbed, the stage gives the result of the undisturbed run."""
        ended = self.run()
        assert ended.status == 0, f"the rerun ended with {ended.status}: {ended.said}"
        self.check_same()


def _is_temporary(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return name.startswith(".") and name.endswith(".tmp")


@dataclass
class World:
    """The reference, and how many points each stage has."""

    reference: Path
    made: dict[str, str]
    stages: list[Stage]
    counted: dict[tuple[str, str], int] = field(default_factory=dict)

    @contextmanager
    def workspace(self, stage: Stage, folder: Path) -> Iterator[Workspace]:
        """A fresh copy in `folder`, without what the stage leaves behind; it goes at the end, unless it failed."""
        for top in (*TOPS, "params.yaml", "dvc.yaml"):
            source = self.reference / top
            target = folder / "repository" / top
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        space = Workspace(folder / "repository", folder / "state", folder / "logs", stage, self.made)
        space.remove_outs()
        yield space
        shutil.rmtree(folder)

    def points(self, stage: Stage, fault: Fault, folder: Path) -> int:
        """How many points an undisturbed run of the stage has for such a fault to strike at."""
        key = (stage.name, str(sorted(fault.kinds or [])))
        if key not in self.counted:
            with self.workspace(stage, folder) as space:
                # One that strikes at no point counts them all.
                ended = space.run(Fault(fault.what, at=-1))
                assert ended.status == 0, ended.said
                space.check_same()
                lines = (space.log / "log" / "journal").read_text().splitlines()
                self.counted[key] = json.loads(lines[-1])["points"]
        return self.counted[key]


def build(folder: Path) -> tuple[World, Scratch]:
    """Make the small graph in `folder` and run every stage of it once, undisturbed."""
    scratch = create(folder)
    resize(folder, LENGTHS, [*METHODS])
    scratch.edit(SMALL)
    scratch.run(*COMMIT)
    # The report tells what a clock said, and teaches nobody.
    found = [stage for stage in stages(folder) if stage.name != "report"]
    run_all(found, folder, folder.with_name(f"{folder.name}.state"), folder.with_name(f"{folder.name}.log"))
    return World(folder, results(folder), found), scratch
