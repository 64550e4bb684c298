"""What a release changed in code and in specs that leaves every byte of every result as it was: releases.yaml."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.files import Json
from pipeline.config.yaml import load

FILE = Path(__file__).with_name("releases.yaml")
SHOWN = 3  # differences that a sentence names
WIDTH = 40  # characters of a value

Key = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Something that a spec asks for and an old one did not.

    Attributes:
        key: Where it stands in the new spec, dotted.
        sentence: What it is, in words.
        implied: It goes without saying where something else differs: other settings have other code.
    """

    key: str
    sentence: str
    implied: bool = False


@dataclass(frozen=True)
class Releases:
    """The content of releases.yaml.

    Attributes:
        commit: The release before, whose bytes the tests compare with those of today.
        renamed: Keys of a spec that are only spelled anew, old to new, dotted, `*` for any one key or place in a
            list; new is None where the key is gone and had no meaning.
        added: Keys that specs of before lack, dotted, and the value that their lack meant.
        code: Of each unit, the hashes of its versions that leave the same bytes, the newest last. None stands for a
            version in which specs did not name the unit.
    """

    commit: str
    renamed: dict[str, str | None]
    added: dict[str, Any]
    code: dict[str, list[str | None]]

    def accepts(self, unit: str, old: str | None, new: str | None) -> bool:
        """Whether the bytes are known to be the same by both versions of a unit."""
        *before, newest = self.code.get(unit, [None])
        return old == new or (new == newest and old in before)

    def differences(self, old: Json, new: Json) -> list[Difference]:
        """Where a spec asks for something else than an old one did, beyond what is listed.

        Args:
            old: Its code, or that of a part, may be one hash, as it was once: by what code it was made is not known.
        """
        found, code = self._settings(old, new), old["code"] if isinstance(old["code"], dict) else {"stage": old["code"]}
        for part in sorted({*code, *new["code"]}):
            found += self._code(part, code.get(part, {}), new["code"].get(part, {}))
        return found

    def _settings(self, old: Json, new: Json) -> list[Difference]:
        before, now = self._spelled_anew(_flat(old)), _flat(new)
        for dotted, value in self.added.items():
            key = tuple(dotted.split("."))
            if key in now and not any(each[: len(key)] == key for each in before):
                before[key] = json.dumps(value)
        return [
            Difference(".".join(key), _sentence(key, before.get(key), now.get(key)))
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]

    def _spelled_anew(self, old: dict[Key, str]) -> dict[Key, str]:
        for was, name in self.renamed.items():
            pattern = was.split(".")
            moved: dict[Key, str] = {}
            for key, value in old.items():
                if len(key) < len(pattern) or any(p not in ("*", k) for p, k in zip(pattern, key, strict=False)):
                    moved[key] = value
                elif name is not None:
                    stars = iter([k for p, k in zip(pattern, key, strict=False) if p == "*"])
                    moved[(*(next(stars) if p == "*" else p for p in name.split(".")), *key[len(pattern) :])] = value
            old = moved
        return old

    def _code(self, part: str, old: dict[str, str] | str, new: dict[str, str]) -> list[Difference]:
        if isinstance(old, str):
            return [Difference(f"code.{part}", "its code was not that of a release", implied=True)]
        units = sorted(old.keys() | new.keys())
        changed = [unit for unit in units if not self.accepts(unit, old.get(unit), new.get(unit))]
        in_both = [unit for unit in changed if unit in old and unit in new]
        sentence = f"its code was changed ({', '.join(in_both or changed)})"
        return [Difference(f"code.{part}", sentence, implied=not in_both)] if changed else []


def read() -> Releases:
    """The list that comes with this code."""
    return Releases(**load(FILE.read_bytes()))


def in_words(found: list[Difference]) -> str:
    """Differences as one sentence."""
    told = [each for each in found if not each.implied] or found
    sentences = [*dict.fromkeys(each.sentence for each in told)]
    more = f", and {len(sentences) - SHOWN} more" if len(sentences) > SHOWN else ""
    return ", ".join(sentences[:SHOWN]) + more


def _flat(value: Any, key: Key = ()) -> dict[Key, str]:
    """The settings of a spec as JSON, each by all the keys that lead to it."""
    if isinstance(value, list | tuple):
        value = {str(number): each for number, each in enumerate(value)} or value
    if not isinstance(value, dict) or not value:
        return {key: json.dumps(value)}
    return {
        path: leaf
        for name, each in value.items()
        if key or name != "code"
        for path, leaf in _flat(each, (*key, name)).items()
    }


def _sentence(key: Key, old: str | None, new: str | None) -> str:
    name = ".".join(key[1:] if key[0] == "training" else key)
    return f"{name} was {_short(old)}, is {_short(new)}"


def _short(text: str | None) -> str:
    if text is None:
        return "not given"
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
