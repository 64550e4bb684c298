"""Which instructions of the CPU libraries may use: results differ in their last bits with those that they choose."""

import os
import re
from pathlib import Path

from pipeline.base.errors import UserError

INFORMATION = Path("/proc/cpuinfo")
# How torch's kernels, oneDNN and MKL are told, each before it is first used.
VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
SETTINGS = {  # weakest first
    "default": ("default", "SSE41", "COMPATIBLE"),
    "avx2": ("avx2", "AVX2", "AVX2"),
    "avx512": ("avx512", "AVX512_CORE", "AVX512"),
}
NEEDED = {
    "default": {"sse4_1"},
    "avx2": {"avx2", "fma"},
    "avx512": {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
}


def fix(name: str) -> None:
    """Let the libraries of this process and of those that it starts use these instructions and no others.

    Raises:
        UserError: This CPU does not have them.
    """
    if name not in known():
        raise UserError(f"params.yaml: machine.cpu is {name}, which the CPU of this machine does not have: use null")
    os.environ.update(environment(name))


def environment(name: str) -> dict[str, str]:
    """The variables that say so."""
    return dict(zip(VARIABLES, SETTINGS[name], strict=True))


def known() -> list[str]:
    """Those of the settings that this CPU has, weakest first; none where it is of another kind, or no system tells."""
    has = {*_line("flags").split()}
    return [name for name, needed in NEEDED.items() if needed <= has]


def described() -> str:
    """All that libraries choose by: who made the CPU, and what it has, in the kernel's words."""
    return " ".join([_line("vendor_id|CPU implementer"), *sorted(_line("flags|Features").split())])


def _line(key: str) -> str:
    text = INFORMATION.read_text() if INFORMATION.exists() else ""
    found = re.search(rf"^(?:{key})\s*:(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
