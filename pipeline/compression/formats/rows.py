"""Each format that was asked for: written, run in its own runtime on validation and test, and compared.

What it is compared with are the stored logits, of `model.onnx` in onnxruntime. A format that is not installed, or that
cannot be written or run here, is named as not run.

Legend: N images, B batch, C channels, H = W edge in pixels.
"""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import UserError, innermost
from pipeline.compression.formats.original import Answer, NotRun, Original
from pipeline.compression.onnx_file import precision
from pipeline.compression.runtime import Runtime
from pipeline.console.progress import log
from pipeline.data.encoded import EncodedImages
from pipeline.evaluation import cost
from pipeline.lineage.predictions import write_predictions

FIRST = "onnx"


def write_formats(
    folder: Path,
    names: Sequence[str],
    original: Original,
    runtime: Runtime,
    images: Mapping[str, np.ndarray | EncodedImages],
    stored: Mapping[str, Tensor],
    y_N: np.ndarray,
    threads: int | None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Write each of these formats but the first into a folder of its name; what there is to say of each, and
    milliseconds an image.

    Args:
        folder: The node's, in which `model.onnx` is written.
        runtime: Of that.
        images, stored: By split: uint8 (N, C, H, W), and its logits float32 (N, classes).
        y_N: The classes of the test images.
    """
    size = {"precision": precision(original.onnx), "bytes": cost.file_bytes(original.onnx)}
    rows: dict[str, Any] = {FIRST: {**size, **_compared(stored["test"], stored["test"], y_N)}}
    x_BCHW = np.zeros((1, original.card.channels, original.card.size, original.card.size), np.float32)
    (first_ms,) = cost.medians_ms([partial(runtime.run, x_BCHW)])
    ms = {FIRST: round(first_ms, 4)}
    for name in names[1:]:
        own = folder / name
        own.mkdir()
        try:
            format = _format(name)
            format.write(original, own)
            answer = format.opened(own, threads)
            logits = {split: _logits(answer, runtime, each, format.BATCH) for split, each in images.items()}
            if not all(z_NC.isfinite().all() for z_NC in logits.values()):
                raise NotRun("its logits are not finite there")
            (spent,) = cost.medians_ms([partial(answer, x_BCHW)])
        except (MemoryError, OSError, UserError):  # a network that is damaged is for the user to mend
            raise
        except Exception as error:  # of whatever class: each runtime has its own
            shutil.rmtree(own)
            why = str(error) if isinstance(error, NotRun) else innermost(error)
            rows[name] = {"not_run": why}
            log(f"{name}: not run, {why}")
            continue
        write_predictions(own, logits)
        found = _compared(logits["test"], stored["test"], y_N)
        weights = sum(path.stat().st_size for path in own.iterdir() if path.is_file())
        rows[name] = {"precision": format.PRECISION or size["precision"], "bytes": weights, **found}
        ms[name] = round(spent, 4)
        log(
            f"{name}: {weights:,} bytes, {100 * found['agreement']:.2f} % of the test images answered as in "
            f"onnxruntime, largest difference of a logit {found['maximal_difference']:.2g}, {spent:.2f} ms an image"
        )
    return rows, ms


def _format(name: str) -> ModuleType:
    """What writes and runs it; `PRECISION` is None where that is the precision of `model.onnx`."""
    # One import each, which whoever looks for a stage's code can follow.
    match name:
        case "openvino":
            from pipeline.compression.formats import of_openvino as format
        case "ncnn":
            from pipeline.compression.formats import of_ncnn as format
        case "litert":
            from pipeline.compression.formats import of_litert as format
        case _:
            from pipeline.compression.formats import of_torch as format
    return format


def _logits(answer: Answer, runtime: Runtime, images: np.ndarray | EncodedImages, batch: int) -> Tensor:
    """Logits float32 (N, classes) of images as `Runtime` is shown them."""
    starts = range(0, len(images), batch)
    found = [answer(runtime.pixels(images[start : start + batch])) for start in starts]
    return torch.from_numpy(np.concatenate(found) if found else np.empty((0, len(runtime.card.classes)), np.float32))


def _compared(own_NC: Tensor, stored_NC: Tensor, y_N: np.ndarray) -> dict[str, float]:
    """On test: how many answers are the same, how far logits are apart, and what is lost of accuracy."""
    if not len(y_N):
        return {"agreement": 1.0, "maximal_difference": 0.0, "drop": 0.0}
    own_N, stored_N, classes_N = own_NC.argmax(1), stored_NC.argmax(1), torch.from_numpy(y_N.copy())
    right, before = (int((each_N == classes_N).sum()) for each_N in (own_N, stored_N))
    return {
        "agreement": float((own_N == stored_N).double().mean()),
        "maximal_difference": float((own_NC - stored_NC).abs().max()),
        "drop": (before - right) / len(y_N),
    }
