"""What else decides the last bits of a result: kernels that give the same twice, and what computes.

A GPU's fastest kernels add up in whatever order their threads come; the ones chosen here keep one order.
"""

import os
import re
from pathlib import Path
from typing import Any

import torch

WORKSPACE = ":4096:8"  # of cuBLAS: with one of its own size each stream may take another way through a sum
DRIVER = Path("/proc/driver/nvidia/version")


def fix_kernels(tf32: bool) -> None:
    """Let a GPU compute the same bits each time, and float32 in full or with ten bits of the fraction (TF32).

    Before the first product on the GPU: cuBLAS reads its workspace only once.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = WORKSPACE
    cudnn, cuda = _backends()
    cudnn.benchmark = False
    cudnn.deterministic = True
    # Not by `fp32_precision`: torch.export asks for these names, and torch refuses where both were used.
    cudnn.allow_tf32 = cuda.matmul.allow_tf32 = tf32
    # The backward pass of these attentions adds up in no fixed order; the plain one is what is left.
    cuda.enable_flash_sdp(False)
    cuda.enable_mem_efficient_sdp(False)
    cuda.enable_cudnn_sdp(False)


def environment(where: torch.device) -> dict[str, Any]:
    """What of libraries, hardware and settings a saved training must find again to go on with the same bits."""
    if where.type != "cuda":
        return {
            "threads": torch.get_num_threads(),
            "CPU capability": torch.backends.cpu.get_cpu_capability(),
            "oneDNN's limit": os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "none")),
        }
    cudnn, cuda = _backends()
    return {
        "CUDA": torch.version.cuda,
        "cuDNN": cudnn.version(),
        "driver": _driver(),
        "cuBLAS's workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "deterministic cuDNN": cudnn.deterministic and not cudnn.benchmark,
        "TF32 in convolutions": cudnn.allow_tf32,
        "TF32 in products": cuda.matmul.allow_tf32,
    }


def _backends() -> tuple[Any, Any]:
    """Torch's switches of cuDNN and CUDA, whose types declare less than they have."""
    return torch.backends.cudnn, torch.backends.cuda


def _driver() -> str:
    """The NVIDIA driver's version, e.g. 550.54.15, from its kernel module's file."""
    text = DRIVER.read_text() if DRIVER.exists() else ""
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group() if found else "unknown"
