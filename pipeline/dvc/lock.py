"""What DVC recorded of the last run of each stage: dvc.lock, read without DVC."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from pipeline.base.errors import UserError
from pipeline.base.files import sealed, to_json
from pipeline.config.yaml import load
from pipeline.planning.specs.spec import Spec


@dataclass(frozen=True)
class Lock:
    """The recorded hashes of every stage's deps and outs, by path."""

    stages: dict[str, Any]

    @property
    def outs(self) -> dict[str, str]:
        """The recorded hash of every out, by path."""
        return {out["path"]: out.get("md5", "") for stage in self.stages.values() for out in stage.get("outs", [])}

    def stale(self, specs: Mapping[str, Spec]) -> dict[str, str | None]:
        """For each node: None where its last result still holds, else why not.

        Args:
            specs: The specs of now, by node name.
        """
        outs = self.outs
        makers = {out["path"]: name for name, stage in self.stages.items() for out in stage.get("outs", [])}
        found: dict[str, str | None] = {}

        def why(stage: str) -> str | None:
            node = stage.replace("@", "/")
            if node in found:
                return found[node]
            found[node] = None
            recorded = self.stages.get(stage)
            if recorded is None:
                found[node] = "not run yet"
                return found[node]
            for dep in recorded.get("deps", []):
                path = dep["path"]
                if path == f"plan/{node}.json":
                    if dep.get("md5") != spec_hash(specs[node].as_json()):
                        found[node] = "its spec was modified"
                elif path in makers and (outs[path] != dep.get("md5") or why(makers[path]) is not None):
                    found[node] = f"{makers[path].replace('@', '/')} comes first"
                if found[node]:
                    break
            return found[node]

        for name in specs:
            why(name.replace("/", "@", 1))
        return found


def read(path: Path) -> Lock:
    """Read dvc.lock; empty where nothing has run yet."""
    return parse(path.read_bytes(), path.name) if path.exists() else Lock({})


def read_stages(path: Path, names: Iterable[str]) -> Lock:
    """The records of some stages, all others unread: the whole of dvc.lock would take a stage longer than its start."""
    text = path.read_text() if path.exists() else ""
    found = [each[0] for name in names if (each := _entry(text, f"  {name}:\n"))]
    return parse(f"stages:\n{''.join(found)}".encode(), path.name) if found else Lock({})


def with_entry(text: str, entry: str) -> str:
    """The text of dvc.lock with another entry of a stage, in its place or at the end.

    entry: As it stands there, from the line with the stage's name on.
    """
    found = _entry(text, entry.partition("\n")[0] + "\n")
    return f"{text[: found.start()]}{entry}{text[found.end() :]}" if found else f"{text}{entry}"


def _entry(text: str, line: str) -> re.Match[str] | None:
    """Where the entry that begins with that line stands, as DVC writes it."""
    return re.search(rf"^{re.escape(line)}(?:   .*\n)*", text, re.MULTILINE)


def parse(content: bytes, name: str) -> Lock:
    """The lock in the bytes of a dvc.lock; `name` is for the message where it is damaged."""
    try:
        stages = load(content)["stages"]
        # Another stage's DVC may be writing the file at this moment: the part that it has come to is empty.
        return Lock({name: {key: part for key, part in (each or {}).items() if part} for name, each in stages.items()})
    except (YAMLError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} is damaged ({reason}): delete it and run `dvc repro`") from None


def spec_hash(spec: dict[str, Any]) -> str:
    """The MD5 that DVC records of the file of a spec, given as JSON."""
    return hashlib.md5(to_json(sealed(spec)).encode()).hexdigest()
