"""What a CPU has, and that libraries keep to what they are told."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base import cpu
from pipeline.base.errors import UserError

OLD = "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse4_1 avx2 fma\nbugs\t\t:\n"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(OLD)
    monkeypatch.setattr(cpu, "INFORMATION", path)
    return path


def test_what_a_cpu_has(old: Path) -> None:
    assert cpu.known() == ["default", "avx2"]
    assert cpu.described() == "GenuineIntel avx2 fma fpu sse4_1"
    old.write_text(OLD.replace("avx2 fma", "avx2 fma avx512f avx512bw avx512dq avx512vl"))
    assert cpu.known() == ["default", "avx2", "avx512"]
    old.write_text("CPU implementer\t: 0x41\nFeatures\t: asimd sve\n")
    assert (cpu.known(), cpu.described()) == ([], "0x41 asimd sve")
    old.unlink()
    assert (cpu.known(), cpu.described()) == ([], "")


def test_what_it_lacks_is_refused(old: Path) -> None:
    with pytest.raises(UserError, match=r"^params.yaml: machine.cpu is avx512, which the CPU of this machine does not"):
        cpu.fix("avx512")


@pytest.mark.skipif("avx2" not in cpu.known(), reason="this CPU has no AVX2")
def test_torch_keeps_to_what_it_is_told() -> None:
    code = (
        "from pipeline.base import cpu; cpu.fix('avx2'); import torch; print(torch.backends.cpu.get_cpu_capability())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "AVX2\n"
