"""OpenVINO's own files, `model.xml` and `model.bin`, made of `model.onnx`: the same precision, and the card inside."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.compression.card import PREFIX, Card, read_card
from pipeline.compression.formats.original import Answer, NotRun, Original

BATCH = 1  # images a call: made for any number, it answers one more slowly
PRECISION = None  # that of model.onnx
NAME = "model.xml"
WHERE = ("framework",)  # OpenVINO puts an ONNX file's metadata there


def write(original: Original, folder: Path) -> None:
    """Write them into the folder; equal files give equal bytes.

    Raises:
        NotRun: OpenVINO is not installed.
    """
    model = _core().read_model(original.onnx)
    model.reshape({"pixels": [BATCH, original.card.channels, original.card.size, original.card.size]})
    for number, operation in enumerate(model.get_ordered_ops()):
        if operation.get_type_name() != "Parameter":  # else by how many there were in this process before
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    _library().save_model(model, folder / NAME, compress_to_fp16=False)


def card(folder: Path) -> Card:
    """What it says of itself, as `write` leaves it.

    Raises:
        NotRun: OpenVINO is not installed.
    """
    model = _core().read_model(folder / NAME)
    keys = [f"{PREFIX}{name}" for name in ("schema", *(each.name for each in fields(Card)))]
    there = [key for key in keys if model.has_rt_info([*WHERE, key])]
    return read_card({key: model.get_rt_info([*WHERE, key]).astype(str) for key in there}, str(folder / NAME))


def opened(folder: Path, threads: int | None) -> Answer:
    """What answers by the files, as `write` leaves them.

    Raises:
        NotRun: OpenVINO is not installed.
    """
    # It would compute in bfloat16 where a CPU has that.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads or 0}
    model = _core().compile_model(_core().read_model(folder / NAME), "CPU", settings)

    def answer(pixels_BCHW: np.ndarray) -> np.ndarray:
        return np.array(model({"pixels": pixels_BCHW})["logits"])

    return answer


def _core() -> Any:
    return _library().Core()


def _library() -> Any:
    try:
        import openvino  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise NotRun("OpenVINO is not installed: `pip install -e '.[openvino]'`") from None
    return openvino
