"""What DVC recorded of the last run of each stage: dvc.lock, read without DVC."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import UserError
from pipeline.files import sealed, to_json
from pipeline.plan import Spec


@dataclass(frozen=True)
class Lock:
    """The recorded hashes of every stage's deps and outs, by path."""

    stages: dict[str, Any]

    def stale(self, specs: dict[str, Spec]) -> dict[str, str | None]:
        """For each node: None where its last result still holds, else why not.

        Args:
            specs: The specs of now, by node name.
        """
        outs = {out["path"]: out.get("md5") for stage in self.stages.values() for out in stage.get("outs", [])}
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
                    if dep.get("md5") != spec_hash(specs[node]):
                        found[node] = "its spec changed"
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
    if not path.exists():
        return Lock({})
    try:
        return Lock(yaml.load(path.read_bytes(), Loader=_loader())["stages"])
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path.name} is damaged ({reason}): delete it and run `dvc repro`") from None


def spec_hash(spec: Spec) -> str:
    """The MD5 that DVC records of the spec's file."""
    return hashlib.md5(to_json(sealed(spec)).encode()).hexdigest()


def _loader() -> Any:
    """The safe loader, in C where PyYAML has it: dvc.lock has thousands of lines."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
