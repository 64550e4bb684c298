"""Out of memory has many faces. One sentence for all of them, and figures where torch gives some."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.base import memory
from pipeline.console.errors import explain

# As torch 2.12 says it.
ALLOCATOR = (
    "CUDA out of memory. Tried to allocate {tried}. GPU 0 has a total capacity of 23.65 GiB of which {free} is free. "
    "Process 71 has 3.00 GiB memory in use. Including non-PyTorch memory, this process has 19.60 GiB memory in use. Of "
    "the allocated memory {allocated} is allocated by PyTorch, and {unused} is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True"
)


def allocator(tried: str, free: str, allocated: str, unused: str) -> str:
    return ALLOCATOR.format(tried=tried, free=free, allocated=allocated, unused=unused)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class AcceleratorError(RuntimeError):
    """Named as torch's of the driver."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("any text"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB"),
    ],
    ids=lambda error: str(error)[:40] or type(error).__name__,
)
def test_every_face_is_one_sentence_that_says_what_to_lower(error: Exception) -> None:
    assert explain(error) == (
        "the memory is not enough: lower training.batch_size and labels.batch_size in params.yaml to half of what they "
        "are, or less, or data.size or the architecture's width, or run fewer things at once"
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        ValueError("CUDA out of memory"),
    ],
    ids=str,
)
def test_another_fault_of_a_gpu_keeps_its_traceback(error: Exception) -> None:
    assert explain(error) is None


@pytest.mark.parametrize(
    ("figures", "share"),
    [
        # (16 + 1 + 1) of (16 + 8)
        (("8.00 GiB", "1.00 GiB", "16.00 GiB", "1.00 GiB"), "75 %"),
        (("8192.00 MiB", "1024.00 MiB", "16.00 GiB", "1048576.00 KiB"), "75 %"),
        (("20.00 MiB", "12.00 MiB", "19.00 GiB", "5.00 MiB"), "95 %"),
        # Enough in sum, in pieces.
        (("2.00 GiB", "1.00 GiB", "10.00 GiB", "5.00 GiB"), "95 %"),
        (("900.00 GiB", "1.00 GiB", "512 bytes", "0 bytes"), "5 %"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_by_how_much_where_torch_gives_figures(figures: tuple[str, str, str, str], share: str) -> None:
    said = memory.sentence(OutOfMemoryError(allocator(*figures)))
    assert f"labels.batch_size in params.yaml to {share} of what they are, or less" in said


def test_the_figures_are_told() -> None:
    said = memory.sentence(OutOfMemoryError(allocator("2.00 GiB", "512.00 MiB", "16.00 GiB", "1.00 GiB")))
    assert said.startswith("the memory is not enough (2.00 GiB were asked for, 0.50 GiB of the GPU are free): lower ")


def test_torch_is_not_imported_to_ask() -> None:
    code = (
        "import sys; from pipeline.base import memory; memory.is_out(RuntimeError()); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def cgroup(folder: Path, version: int, limit: str) -> Path:
    """A container's files: 300 bytes taken, of which 120 are pages of files."""
    inside = folder if version == 2 else folder / "memory"
    inside.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, text in zip(names, (limit, "300"), strict=True):
        (inside / name).write_text(f"{text}\n")
    total = "" if version == 2 else "total_"
    (inside / "memory.stat").write_text(f"anon 180\n{total}inactive_file 100\n{total}active_file 20\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts_and_its_pages_of_files_make_way(tmp_path: Path, version: int) -> None:
    assert memory.free(cgroup(tmp_path, version, "1000")) == 1000 - 180
    assert memory.free(cgroup(tmp_path, version, "100")) == 0


def test_without_a_limit_the_machines_memory_counts(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", cgroup(tmp_path / "limitless", 2, "max")):
        assert 0 < memory.free(folder) <= psutil.virtual_memory().total


def test_without_linux_another_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = memory._available()
    assert abs(found - psutil.virtual_memory().available) < 1 << 30, "both ask the machine, a moment apart"
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=17))
    assert memory._available(tmp_path / "none") == 17
    (tmp_path / "other").write_text("MemTotal: 5 kB\n")
    assert memory._available(tmp_path / "other") == 17
    (tmp_path / "own").write_text("MemTotal: 5 kB\nMemAvailable:     3 kB\n")
    assert memory._available(tmp_path / "own") == 3 << 10
