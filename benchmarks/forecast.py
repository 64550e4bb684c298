"""What `repro --dry` says against what `dvc repro` then does, change after change, in the default graph.

In a repository of its own, in which everything has run once, a parameter is drawn and changed; then what `--dry` says
is held against the stages that DVC ran and against their seconds on the wall. A stage's seconds are those between the
line with which DVC begins it and the next line of DVC's.
"""

import json
import math
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from pipeline.base.errors import UserError
from pipeline.base.files import read_json, write_json
from tests.scratch import PARAMS, Scratch, create

GOAL = 1.5  # how far the seconds may be off, either way, as the median of all runs
FEW = ("student",)  # what the tiny run looks at
METHODS = ("soft_targets", "dkd", "fitnet", "attention_transfer", "rkd", "cosine_table", "fsp")
# Changes are drawn from these in turn, each recipe's key once: what others follow from, and what ends in itself.
CHAINS = ("teacher", "student", "refinery", "born_again", "compress.steps.distil", "compress.steps.tune")
LEAVES = ("baseline", "mutual", *(f"method.{name}" for name in METHODS))
OWN = ("teacher", "born_again")  # whose recipe follows from `training`; the others' from the student's
KINDS = (("runs",), ("runs", "may run"))
FACTORS = (0.5, 0.75, 1.25, 1.5)
# Of DVC: it begins a stage, or is done with one.
BEGAN = re.compile(r"^Running stage '(.+)':")
PASSED = re.compile(
    r"^(Stage '.+' (didn't change|is cached)|Restored stage|Use `dvc push`|To track|(Updating|Generating) lock)"
)

Log = Callable[[str], None]
Round = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A key of params.yaml, dotted, and its new value."""

    key: str
    value: Any


def measure(out: Path, folder: Path, runs: int, log: Log, tiny: bool = False) -> list[Round]:
    """So many rounds, those that `out` holds included; each is written when it has run.

    folder: where the repository is made anew; it begins where the last round has ended.
    """
    rounds: list[Round] = read_json(out) if out.exists() else []
    targets = FEW if tiny else ()
    repository = folder / "repository"
    if len(rounds) >= runs:
        return rounds
    shutil.rmtree(repository, ignore_errors=True)
    scratch = create(repository)
    if not tiny:
        shutil.copy2(PARAMS, repository / "params.yaml")
    for each in rounds:
        _set(repository, Change(**each["change"]))
    log("forecast: everything runs once")
    _repro(scratch, targets)
    while len(rounds) < runs:
        change = drawn(yaml.safe_load((repository / "params.yaml").read_text()), len(rounds))
        _set(repository, change)
        said = [json.loads(line) for line in _dry(scratch, targets).splitlines()]
        began = time.perf_counter()
        took = _repro(scratch, targets)
        wall = time.perf_counter() - began
        rounds.append({"change": {"key": change.key, "value": change.value}, **compared(said, took), "wall": wall})
        write_json(out, rounds)
        log(f"forecast: {change.key}: {rounds[-1]['told']:.0f} s told, {rounds[-1]['took']:.0f} s taken")
    return rounds


def drawn(params: dict[str, Any], number: int) -> Change:
    """The change of a round: learning rate or epochs of a recipe, or how many views are labelled."""
    draw = random.Random(number)
    keys = [f"{name}.recipe.{what}" for name in (CHAINS, LEAVES)[number % 2] for what in ("lr", "epochs")]
    if number % 2 == 0:
        keys.append("labels.views")
    key = random.Random("changes").sample(keys, len(keys))[number // 2 % len(keys)]
    if key == "labels.views":
        return Change(key, draw.randint(10, 100))
    name, what = key.rsplit(".recipe.")
    recipes = [
        params["training"],
        *([] if name in OWN else [params["student"]["recipe"]]),
        _get(params, name, "recipe"),
    ]
    value = {key: value for recipe in recipes for key, value in (recipe or {}).items()}[what] * draw.choice(FACTORS)
    return Change(key, max(1, round(value)) if what == "epochs" else round(value, 5))


def compared(said: list[dict[str, Any]], took: dict[str, float]) -> Round:
    """What was said of the stages, and what became of them.

    wrong: stages that were called cached and ran, or were to run and did not. `told` and `took`: seconds of those that
    ran, where they were known beforehand; `unknown`: of the others. `least` and `most`: of all known.
    """
    state = {each["stage"]: each["state"] for each in said}
    seconds = {each["stage"]: each["seconds"] for each in said}
    ran = took.keys() & state.keys()
    wrong = {name for name in ran if state[name] == "cached"}
    wrong |= {name for name, each in state.items() if each == "runs" and name not in ran}
    known = [name for name in ran if seconds[name] is not None]
    due = {kind: [seconds[name] or 0.0 for name, each in state.items() if each in kind] for kind in KINDS}
    return {
        "stages": len(ran),
        "wrong": sorted(wrong),
        "told": sum(seconds[name] for name in known),
        "took": sum(took[name] for name in known),
        "unknown": sum(took[name] for name in ran if seconds[name] is None),
        "least": sum(due[("runs",)]),
        "most": sum(due[("runs", "may run")]),
        "by_stage": {name: [seconds[name], took[name]] for name in sorted(ran)},
    }


def factor(found: Round) -> float | None:
    """How far the seconds that were told are off, at least 1; None where none were told, or nothing ran of those."""
    if not found["told"] or not found["took"]:
        return None
    return math.exp(abs(math.log(found["told"] / found["took"])))


def table(rounds: list[Round]) -> list[tuple[str, ...]]:
    """Cells, header first: a round a line, and the median of how far they are off."""
    cells: list[tuple[str, ...]] = [
        ("changed", "stages run", "foretold wrongly", "seconds told", "taken", "off by", "not measured before")
    ]
    for each in rounds:
        cells.append(
            (
                f"{each['change']['key']}: {each['change']['value']}",
                str(each["stages"]),
                ", ".join(each["wrong"]) or "0",
                f"{each['told']:.0f}",
                f"{each['took']:.0f}",
                _times(factor(each)),
                f"{each['unknown']:.0f} s",
            )
        )
    whole = median(each for found in rounds if (each := factor(found)))
    wrong = sum(len(each["wrong"]) for each in rounds)
    cells.append((f"median of {len(rounds)} (goal {GOAL:g} ×)", "", str(wrong), "", "", f"**{whole:.2f} ×**", ""))
    return cells


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} ×"


def _dry(scratch: Scratch, targets: tuple[str, ...]) -> str:
    return scratch.run(sys.executable, "-m", "pipeline", "repro", "--dry", "--json", *targets)


def _repro(scratch: Scratch, targets: tuple[str, ...]) -> dict[str, float]:
    """`dvc repro`: seconds on the wall of each stage that ran."""
    took: dict[str, float] = {}
    said: list[str] = []
    running, began = "", 0.0
    with subprocess.Popen(
        ("dvc", "repro", *targets),
        cwd=scratch.folder,
        env={**scratch.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            beginning = BEGAN.match(line)
            if running and (beginning or PASSED.match(line)):
                took[running] = time.perf_counter() - began
                running = ""
            if beginning:
                running, began = beginning[1], time.perf_counter()
    if process.returncode != 0:
        raise UserError(f"dvc repro failed in {scratch.folder}:\n{''.join(said[-20:])}")
    if running:
        took[running] = time.perf_counter() - began
    return took


def _get(params: Any, key: str, last: str) -> Any:
    for name in (*key.split("."), last):
        params = (params or {}).get(name)
    return params


def _set(repository: Path, change: Change) -> None:
    path = repository / "params.yaml"
    whole = yaml.safe_load(path.read_text())
    at = whole
    *names, last = change.key.split(".")
    for name in names:
        at = at.setdefault(name, {})
    at[last] = change.value
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
