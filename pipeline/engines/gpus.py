"""A GPU of its own for each of the stages that run side by side. Torch is not asked: importing it takes seconds."""

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import takewhile

from pipeline.base import programs
from pipeline.base.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
PATIENCE = 10.0  # seconds


def visible(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that a stage would see, as CUDA_VISIBLE_DEVICES names them: what it lists already, else all."""
    given = environment.get(VISIBLE)
    if given is not None:
        # CUDA ends the list at the first name that is none, such as -1.
        return [*takewhile(lambda name: name not in ("", "-1"), (name.strip() for name in given.split(",")))]
    return identifiers(_ask("-L") or "")


def memory(name: str) -> tuple[int, int] | None:
    """Free and all bytes of a GPU; None where the driver does not tell, as for one that is cut into instances (MIG).

    name: As CUDA_VISIBLE_DEVICES has it. (Of a bare number nvidia-smi may mean another GPU, where they are unlike.)
    """
    printed = _ask("--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits", "-i", name)
    found = re.fullmatch(r"\s*(\d+), (\d+)\s*", printed or "")
    return (int(found[1]) << 20, int(found[2]) << 20) if found else None


def identifiers(listed: str) -> list[str]:
    """The GPUs in what `nvidia-smi -L` prints; of one that is cut into instances (MIG), these."""
    found: list[str] = []
    for identifier in re.findall(r"UUID: ((?:GPU|MIG)-[^)\s]+)\)", listed):
        if identifier.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(identifier)
    return found


def models() -> list[str]:
    """What each GPU of this machine is, in the driver's words; of one that is cut into instances (MIG), these."""
    found: list[tuple[str, str]] = []
    for kind, name in re.findall(
        r"^\s*(GPU \d+:|MIG) (.*?)\s*(?:Device +\d+: )?\(UUID", _ask("-L") or "", re.MULTILINE
    ):
        if kind == "MIG" and found and found[-1][0] != "MIG":
            found.pop()
        found.append((kind, name))
    return [name for _, name in found]


def driver() -> str:
    """The version of the GPUs' driver; empty where there is none."""
    return (_ask("--query-gpu=driver_version", "--format=csv,noheader") or "").strip().partition("\n")[0]


def of_places(jobs: int, device: str, gpus: Sequence[str]) -> list[str | None]:
    """The GPU that a stage at each place uses; None where it uses none, or an unknown one.

    device: `machine.device`; a number in it counts within what a stage sees.
    """
    if device not in ("auto", "cuda"):
        kind, _, number = device.partition(":")
        own = int(number) < len(gpus) if kind == "cuda" else False
        return [gpus[int(number)] if own else None] * jobs
    return [gpus[place % len(gpus)] if gpus else None for place in range(jobs)]


def environments(jobs: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What to add to the environment of each place: a GPU of its own as far as they go, then they are shared."""
    if len(gpus) < 2:
        return [{} for _ in range(jobs)]
    return [{VISIBLE: gpus[place % len(gpus)]} for place in range(jobs)]


def _ask(*arguments: str) -> str | None:
    """What nvidia-smi prints; None where there is none, or it fails, or hangs, as beside a broken driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        asked = programs.run([tool, *arguments], PATIENCE)
    except UserError:
        return None
    return asked.stdout if asked.returncode == 0 else None
