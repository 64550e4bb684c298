"""dvc.yaml with another number of slots, and what each of its stages reads and leaves behind."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.commands.wire import wired
from pipeline.config.yaml import read_yaml

Lengths = dict[str, int]
LETTERS = {"assistant": "t", "refinery": "g", "born_again": "g", "compress": "c"}


@dataclass(frozen=True)
class Stage:
    """One stage of the graph: the command's words after `stages`, and the paths in the repository."""

    verb: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return "/".join(self.verb)


def resize(folder: Path, lengths: Lengths, methods: list[str]) -> None:
    """Give each chain of a repository so many slots, and keep only those methods."""
    path = folder / "dvc.yaml"
    whole = read_yaml(path)
    stages = whole["stages"]
    for family, length in lengths.items():
        slots = [f"{LETTERS[family]}{number}" for number in range(1, length + 1)]
        first = next(iter(stages[family]["foreach"].values()))["prev"]
        before = [first, *(f"{family}/{slot}" for slot in slots)]
        stages[family]["foreach"] = {slot: {"prev": prev} for slot, prev in zip(slots, before, strict=False)}
    stages["method"]["foreach"] = {name: stages["method"]["foreach"][name] for name in methods}
    path.write_text(wired(yaml.safe_dump(whole, sort_keys=False)))
    params = read_yaml(folder / "params.yaml")
    architectures = params["assistant"]["architectures"]
    params["assistant"]["architectures"] = {slot: architectures[slot] for slot in stages["assistant"]["foreach"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def stages(folder: Path) -> list[Stage]:
    """Every stage of a repository's dvc.yaml, an order in which they can run."""
    params, found = read_yaml(folder / "params.yaml"), []
    for name, stage in read_yaml(folder / "dvc.yaml")["stages"].items():
        items = stage["foreach"].items() if "foreach" in stage else [("", {})]
        for key, item in items:
            body = stage.get("do", stage)
            words = {"key": key, **{f"item.{name}": value for name, value in item.items()}}
            deps, outs = (
                tuple(_interpolated(path, words, params) for path in body.get(what, ())) for what in ("deps", "outs")
            )
            found.append(Stage((name, key) if key else (name,), deps, outs))
    return _sorted(found)


def _interpolated(text: str, words: dict[str, str], params: dict[str, Any]) -> str:
    for _ in range(2):  # an item may itself name a parameter
        for word, value in words.items():
            text = text.replace(f"${{{word}}}", value)
        text = re.sub(r"\$\{(edges)\.(\w+)\}", lambda found: params[found[1]][found[2]], text)
    return text


def _sorted(waiting: list[Stage]) -> list[Stage]:
    made: set[str] = set()
    found: list[Stage] = []
    everything = {out for stage in waiting for out in stage.outs}
    while waiting:
        ready = next(s for s in waiting if not any(_inside(dep, everything) - made for dep in s.deps))
        waiting = [stage for stage in waiting if stage is not ready]
        made |= {*ready.outs}
        found.append(ready)
    return found


def _inside(dep: str, outs: set[str]) -> set[str]:
    """The outs that a dep lies in, or is."""
    return {out for out in outs if dep == out or dep.startswith(f"{out}/")}
