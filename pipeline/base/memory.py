"""Out of memory in all its faces, by name and text: torch is not imported to ask. What to do about it. What is free."""

import re
from pathlib import Path

FACES = (
    "can't allocate memory",  # torch on a CPU
    "could not create a primitive",  # oneDNN, whose convolutions end so where memory is limited
    "CUDA out of memory",  # torch's allocator
    "HIP out of memory",
    "MPS backend out of memory",
    "CUDA error: out of memory",  # the driver: of a context, or of pinned memory
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",  # how a full card answers the first product
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",  # up to cuDNN 8
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",  # from cuDNN 9 on
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)
# What torch's allocator tells of a GPU, in the order of its sentence.
FIGURES = (
    r"Tried to allocate ([\d.]+) (\w+)",
    r"of which ([\d.]+) (\w+) is free",
    r"([\d.]+) (\w+) is allocated by PyTorch",
    r"([\d.]+) (\w+) is reserved by PyTorch but unallocated",
)
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

# Of a container: its limit, what it has taken, and what of that are pages of files, which make way. Version 2, then 1.
CGROUPS = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


def is_out(error: BaseException) -> bool:
    """Whether an error says that memory is not enough; most are a bare RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(face in str(error) for face in FACES)


def sentence(error: BaseException) -> str:
    """What is not enough, and what to lower, and by how much: to half where the error tells no figures."""
    figures, share = "", "half"
    if found := _figures(str(error)):
        tried, free, allocated, unused = found
        figures = f" ({tried / 2**30:.2f} GiB were asked for, {free / 2**30:.2f} GiB of the GPU are free)"
        # Weights do not shrink with a batch, and free memory may lie in pieces: never more than 95 %.
        percent = min(95, int(100 * (allocated + free + unused) / (allocated + tried)) // 5 * 5)
        share = f"{max(5, percent)} %"
    return (
        f"the memory is not enough{figures}: lower training.batch_size and labels.batch_size in params.yaml to {share} "
        "of what they are, or less, or data.size or the architecture's width, or run fewer things at once"
    )


def free(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of main memory that can still be had: of the machine, and of the container that this process is in."""
    found = [_available()]
    for limit, taken, pages in CGROUPS:
        try:
            stat = dict(line.split() for line in (cgroup / taken).with_name("memory.stat").read_text().splitlines())
            used = int((cgroup / taken).read_text()) - sum(int(stat[page]) for page in pages)
            found.append(int((cgroup / limit).read_text()) - used)
        except (OSError, ValueError, KeyError):  # not of this version, or without a limit, which then is `max`
            continue
    return max(0, min(found))


def _available(table: Path = Path("/proc/meminfo")) -> int:
    """Of the machine, as Linux reckons it; psutil asks other systems, and training on Linux does without."""
    try:
        rows = dict(line.split(":", 1) for line in table.read_text().splitlines())
        return int(rows["MemAvailable"].removesuffix("kB")) << 10
    except (OSError, ValueError, KeyError):
        import psutil

        return psutil.virtual_memory().available


def _figures(said: str) -> list[float] | None:
    matches = [re.search(pattern, said) for pattern in FIGURES]
    if not all(matches):
        return None
    return [float(match[1]) * UNITS.get(match[2], 1) for match in matches if match]
