"""Labels that go on where an earlier process was killed: only of the same network, in the same environment."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.console.progress import log
from pipeline.training.checkpoint import other_environment
from pipeline.training.state import holding

ENVIRONMENT = "environment.json"


@contextmanager
def kept_parts(node: str, key: str, environment: dict[str, Any]) -> Iterator[Path]:
    """Yield the folder in which the labels of a node are written a part at a time; it is kept until `gc`.

    key: of what decides them. environment: what of libraries and hardware decides their last bits, too; where parts
    were written in another one, a sentence says so, and they go.
    """
    with holding(f"labels/{node}", key, log) as state:
        parts, begun = state.folder / "parts", state.folder / ENVIRONMENT
        before = files.read_json(begun) if begun.exists() else environment
        if changed := other_environment(before, environment):
            log(f"{node}: labels that are there are not used: {changed}")
            shutil.rmtree(parts, ignore_errors=True)
        if changed or not begun.exists():
            files.write_json(begun, environment)
        parts.mkdir(exist_ok=True)
        state.finished.unlink(missing_ok=True)
        yield parts
        state.finished.touch()
