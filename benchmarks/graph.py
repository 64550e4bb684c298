"""The default graph: its whole run over the sum of its training, and what commands take when nothing is due.

It runs in a scratch repository with this code. Commands are measured in the seconds that their processes computed.
"""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

from benchmarks.measure import Figure, interleaved, of
from tests.scratch import ROOT, Scratch, create

WHOLE = {
    "pipeline repro --jobs 2": (sys.executable, "-m", "pipeline", "repro", "--jobs", "2"),
    "dvc repro": ("dvc", "repro"),
}
# What is trained in the tiny run: assistant t2 is beyond the asked length and carries t1.
FEW = ("teacher", "assistant@t1", "assistant@t2")
GOALS = {"no-op `dvc repro`": 3.0, "carried slot": 0.2, "`python -m stages --help`": 0.3, "`stages plan`": 1.0}


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Run the graph once in each way, then each command in turn."""
    stages = FEW if tiny else ()
    found = []
    for name, command in WHOLE.items():
        scratch = create(folder / name.replace(" ", "-"))
        if not tiny:
            shutil.copy2(ROOT / "params.yaml", scratch.folder / "params.yaml")
        began = time.perf_counter()
        finish(scratch, *command, *stages)
        whole, training = time.perf_counter() - began, trained(scratch.folder)
        note = f"{whole:.0f} s on the wall, {training:.0f} s of training, in one run"
        found.append(Figure(f"`{name}` ÷ its training", whole / training, goal=1.5, note=note))
    stage = (sys.executable, "-m", "stages")
    commands = {
        "no-op `dvc repro`": ("dvc", "repro", *stages),
        "carried slot": (*stage, "assistant", "t2"),
        "`python -m stages --help`": (*stage, "--help"),
        "`stages plan`": (*stage, "plan"),
        "`python -c pass`": (sys.executable, "-c", "pass"),
    }
    arms = {name: lambda command=command: finish(scratch, *command) for name, command in commands.items()}
    seconds = interleaved(arms, 1 if tiny else 9, children)
    return found + [of(name, each, goal=GOALS.get(name), unit=" s") for name, each in seconds.items()]


def finish(scratch: Scratch, *command: str) -> None:
    """Run a command to its end, however long it takes."""
    process = scratch.start(*command)
    said, _ = process.communicate()
    assert process.returncode == 0, said[-2000:]


def children() -> float:
    """Seconds that all processes which we waited for have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def trained(folder: Path) -> float:
    """Seconds of all steps of all networks that were trained."""
    # Networks that teach each other are trained together: each says how long that took, and one is enough.
    paths = (folder / "metrics").rglob("*.json")
    found = [json.loads(path.read_text()) for path in paths if path.parent.name != "members" or path.stem == "1"]
    return sum(each["cost"]["training_seconds"] for each in found if each.get("status") == "trained")
