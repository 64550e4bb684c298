"""Who reads what of the stages above: the rules by which `wire` writes lists of dvc.yaml, and plan checks them.

A rule names outs by their top folder, and families by their stage. A family with `foreach` is its slots; what a stage
leaves under artifacts/<its name> is a network.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.base.errors import UserError
from pipeline.config.yaml import remedy

SHOWN = 3  # paths that a message names
COMMAND = "run `python -m pipeline wire`"


@dataclass(frozen=True)
class Wiring:
    """What a list holds; what it does not cover is written by hand and left alone.

    Attributes:
        tops: The folders of the outs that are read.
        families: Of which stages, in this order; None: of every network above, in the order of dvc.yaml.
        without: Outs that are not read.
    """

    tops: tuple[str, ...]
    families: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


DEPS = {
    "student": Wiring(("artifacts",), ("teacher", "assistant")),
    "refined": Wiring(("artifacts",), ("refinery",)),
    "ensemble": Wiring(("artifacts",), ("born_again",)),
    # What `refined` picks has its numbers where it was trained.
    "summary": Wiring(("artifacts", "metrics"), without=("metrics/refined.json",)),
    "report": Wiring(("artifacts", "metrics", "curves")),
}
# A plot that dvc.yaml does not have needs no list, and one that has no rule is the user's own.
PLOTS = {
    "generations": Wiring(("curves",), ("teacher", "born_again", "baseline", "refinery")),
    "refinery_validation_accuracy": Wiring(("curves",), ("baseline", "refinery")),
    "born_again_validation_accuracy": Wiring(("curves",), ("teacher", "born_again")),
    "student_validation_accuracy": Wiring(("curves",), ("baseline", "direct", "student", "assistant")),
}


@dataclass(frozen=True)
class Listed:
    """A list of dvc.yaml that has a rule.

    Attributes:
        keys: The way to it from the top of dvc.yaml.
        written: The paths of it that the rule decides about.
        expected: What these should be.
    """

    keys: tuple[str | int, ...]
    written: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a message calls it."""
        return ".".join(key for key in self.keys if isinstance(key, str))


def lists(whole: dict[str, Any]) -> Iterator[Listed]:
    """Every list of dvc.yaml that has a rule.

    Raises:
        UserError: A stage that a rule names is missing.
    """
    stages = whole["stages"]
    outs = {name: _outs(stage) for name, stage in stages.items()}
    for reader, rule in DEPS.items():
        above = itertools.takewhile(lambda name, reader=reader: name != reader, stages)
        yield _listed(("stages", reader, "deps"), stages[reader]["deps"], rule, outs, above)
    given: Any = whole.get("plots")
    for number, plots in enumerate(given if isinstance(given, list) else []):
        for name, plot in plots.items() if isinstance(plots, dict) else ():
            if name in PLOTS and isinstance(plot, dict) and isinstance(plot.get("y"), dict) and plot["y"]:
                yield _listed(("plots", number, name, "y"), plot["y"], PLOTS[name], outs, stages)


def check(whole: dict[str, Any]) -> None:
    """Refuse a dvc.yaml whose lists are not those that the rules make of its stages."""
    for each in lists(whole):
        if {*each.written} == {*each.expected}:
            continue
        if lacking := [path for path in each.expected if path not in each.written]:
            raise UserError(f"dvc.yaml: {each.name} lacks {_few(lacking)}: {COMMAND}")
        foreign = [path for path in each.written if path not in each.expected]
        raise UserError(f"dvc.yaml: {each.name} has {_few(foreign)}, which no stage above makes: {COMMAND}")


def _listed(
    keys: tuple[str | int, ...], paths: Iterable[str], rule: Wiring, outs: dict[str, list[str]], above: Iterable[str]
) -> Listed:
    families = rule.families or tuple(name for name in above if _is_network(name, outs[name]))
    if missing := [family for family in families if family not in outs]:
        raise UserError(f"dvc.yaml lacks stages.{missing[0]}: {remedy('dvc.yaml')}")
    made = [out for family in families for out in outs[family]]
    others = tuple(f"{out}/" for name in outs if name not in families for out in outs[name])

    def decides(path: str) -> bool:
        top, _, rest = path.partition("/")
        if top not in rule.tops or path in rule.without:
            return False
        if rule.families is not None:
            return re.split(r"[/.]", rest)[0] in families
        # Of every network: what lies in no other stage's out is a network's, or was that of one that is gone.
        return not f"{path}/".startswith(others)

    return Listed(keys, tuple(filter(decides, paths)), tuple(filter(decides, made)))


def _is_network(name: str, outs: list[str]) -> bool:
    return any(f"{out}/".startswith(f"artifacts/{name}/") for out in outs)


def _outs(stage: Any) -> list[str]:
    """What a stage leaves behind, slot by slot; nothing of a stage that is no mapping, which DVC refuses."""
    if not isinstance(stage, dict):
        return []
    body = stage.get("do", stage)
    given = body.get("outs") if isinstance(body, dict) else None
    outs: list[str] = []
    for out in given if isinstance(given, list) else []:
        outs += [out] if isinstance(out, str) else [*out] if isinstance(out, dict) else []
    if "foreach" not in stage:
        return outs
    slots = stage["foreach"] if isinstance(stage["foreach"], dict) else {}
    return [out.replace("${key}", str(key)) for key in slots for out in outs]


def _few(paths: list[str]) -> str:
    more = len(paths) - SHOWN
    return ", ".join(paths[:SHOWN]) + (f" and {more} more" if more > 0 else "")
