"""A GPU of its own for each of the stages that run side by side. Torch is not asked: importing it takes seconds."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from itertools import takewhile

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that a stage would see, as CUDA_VISIBLE_DEVICES names them: what it lists already, else all."""
    given = environment.get(VISIBLE)
    if given is not None:
        # CUDA ends the list at the first name that is none, such as -1.
        return [*takewhile(lambda name: name not in ("", "-1"), (name.strip() for name in given.split(",")))]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return identifiers(listed.stdout) if listed.returncode == 0 else []


def identifiers(listed: str) -> list[str]:
    """The GPUs in what `nvidia-smi -L` prints; of one that is cut into instances (MIG), these."""
    found: list[str] = []
    for identifier in re.findall(r"UUID: ((?:GPU|MIG)-[^)\s]+)\)", listed):
        if identifier.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(identifier)
    return found


def environments(jobs: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What to add to the environment of each place: a GPU of its own as far as they go, then they are shared."""
    if len(gpus) < 2:
        return [{} for _ in range(jobs)]
    return [{VISIBLE: gpus[place % len(gpus)]} for place in range(jobs)]
