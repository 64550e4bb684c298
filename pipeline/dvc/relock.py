"""dvc.lock with other specs of some stages, else as DVC wrote it."""

import copy
import re

from pipeline.base.errors import UserError
from pipeline.base.files import Json, sealed, to_json
from pipeline.dvc import lock


def relocked(text: str, specs: dict[str, Json]) -> str:
    """The text of dvc.lock where each of these stages, by name, was run by this spec.

    Raises:
        UserError: The file is not as DVC writes it.
    """
    expected = copy.deepcopy(lock.parse(text.encode(), "dvc.lock").stages)
    for stage, spec in specs.items():
        path, md5, size = spec_path(stage), lock.spec_hash(spec), len(to_json(sealed(spec)).encode())
        before = rf"^  {re.escape(stage)}:\n(?:   .*\n)*?    - path: {re.escape(path)}\n      hash: md5\n"
        entry = rf"({before})      md5: \w+\n      size: \d+\n"
        text = re.sub(entry, rf"\g<1>      md5: {md5}\n      size: {size}\n", text, count=1, flags=re.MULTILINE)
        for dep in expected[stage]["deps"]:
            if dep["path"] == path:
                dep |= {"md5": md5, "size": size}
    if lock.parse(text.encode(), "dvc.lock").stages != expected:
        raise UserError("dvc.lock is not as DVC writes it: bring that back, or delete it and run `dvc repro`")
    return text


def spec_path(stage: str) -> str:
    """Where the spec of a stage lies."""
    return f"plan/{stage.replace('@', '/', 1)}.json"
