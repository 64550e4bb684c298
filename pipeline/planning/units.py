"""Units of code that specs name: each by what it is, with the file that it begins in, and its fingerprint."""

from collections.abc import Mapping
from typing import Any

from pipeline.base.paths import CODE
from pipeline.config import own
from pipeline.config.extension import FAMILIES, OBJECTIVES, OPTIMIZERS, SOURCES, STEPS
from pipeline.planning.fingerprint import fingerprint
from pipeline.planning.own import own_fingerprint

Units = dict[str, str]

TRAINING = "pipeline/training/stage.py"
# Where the code of each stage begins; the commands themselves decide no byte.
BODIES = {
    "prepare": "pipeline/data/prepare.py",
    **dict.fromkeys(("teacher", "assistant", "student", "baseline", "direct"), TRAINING),
    **dict.fromkeys(("refinery", "born_again", "method", "mutual"), TRAINING),
    "refined": "pipeline/lineage/refined.py",
    "ensemble": "pipeline/training/ensemble.py",
    "compress": "pipeline/compression/stage.py",
    "summary": "pipeline/lineage/results.py",
    "report": "pipeline/report/page.py",
}
# Where a teacher begins that is no network of ours, by its key in params.yaml.
FOREIGN = {"answers": "pipeline/training/foreign.py", "onnx": "pipeline/training/onnx_teacher.py"}
SHOWING = ("summary", "report")  # what they leave is made of results, and is none
LOOP: Units = {"loop": "pipeline/training/loop.py"}
NODE: Units = {"node": "pipeline/lineage/node.py"}
ENCODE: Units = {"encode": "pipeline/data/encoding.py"}  # of prepare, too: what it encodes is kept by this
GROUPS: Units = {"groups": "pipeline/data/halves.py"}  # of prepare, where images may have some
OWN = "own "  # then a file of the user's, relative to the repository
START: Units = {"start": "pipeline/training/start.py"}  # found by name, not by import
BUDGET: Units = {"budget": "pipeline/models/budget.py"}
# What rebuilds a network that compression has changed, or runs its file: found by name, not by import.
REBUILDING: Units = {
    **{f"rebuild {name}": f"pipeline/models/{name}.py" for name in ("surgery", "fake_quantise", "codebook")},
    "rebuild footprint": "pipeline/compression/footprint.py",
}


def stage(verb: str) -> Units:
    """What a stage runs."""
    return {f"stage {verb}": BODIES[verb]}


def foreign(key: str) -> Units:
    """What takes in a teacher that is no network of ours."""
    return {f"stage {key}": FOREIGN[key]}


def source(name: str) -> Units:
    """What reads the images."""
    return {f"source {name}": SOURCES.code(name)}


def model(architecture: Mapping[str, Any]) -> Units:
    """What builds an architecture."""
    family = architecture["family"]
    own = (
        {f"{OWN}{architecture['module']}": architecture["module"]}
        if family == "own" and "module" in architecture
        else {}
    )
    return {f"model {family}": FAMILIES.code(family), **own, **(BUDGET if "budget" in architecture else {})}


def start(file: object | None) -> Units:
    """What brings a file of weights onto a network, where there is one."""
    return dict(START) if file else {}


def objective(term: str) -> Units:
    """A term of an objective."""
    return {f"objective {term}": OBJECTIVES.code(term)}


def optimizer(name: str) -> Units:
    """What steps. Of one that is imported, the file in the repository; a library stands in the state's environment."""
    if "." in name:
        module = name.rpartition(".")[0].replace(".", "/")
        files = (each for each in (f"{module}.py", f"{module}/__init__.py") if (own.repository() / each).is_file())
        return {f"{OWN}{each}": each for each in files}
    return {f"optimizer {name}": OPTIMIZERS.code(name)}


def step(kind: str) -> Units:
    """A step of compression."""
    return {f"step {kind}": STEPS.code(kind)}


def code(units: Units) -> dict[str, str]:
    """The fingerprint of each unit."""
    return {
        unit: own_fingerprint(path) if unit.startswith(OWN) else fingerprint(CODE, CODE / path)
        for unit, path in units.items()
    }


def every() -> Units:
    """All units that make results, whatever params.yaml asks for."""
    found = LOOP | NODE | BUDGET | REBUILDING | ENCODE | GROUPS
    for verb in BODIES:
        found |= stage(verb) if verb not in SHOWING else {}
    for key in FOREIGN:
        found |= foreign(key)
    for name in SOURCES.names():
        found |= source(name)
    for family in FAMILIES.names():
        found |= model({"family": family})
    for term in OBJECTIVES.names():
        found |= objective(term)
    for name in OPTIMIZERS.names():
        found |= optimizer(name)
    for kind in STEPS.names():
        found |= step(kind)
    return found
