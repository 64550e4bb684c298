"""LiteRT's file, `model.tflite`, made of the network by litert-torch: float32, one image a call.

litert-torch needs other versions of packages than this pipeline: it works in an interpreter of its own.
"""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pipeline.compression.formats.original import Answer, NotRun, Original, card_beside, convert, write_card

BATCH = 1  # images a call
PRECISION = "float32"
NAME = "model.tflite"
INPUT, OUTPUT = "args_0", "output_0"  # as litert-torch calls them
CONVERTER = Path(__file__).with_name("convert_litert.py")
PATIENCE = 1800.0  # seconds: a small network takes one minute
card = card_beside


def write(original: Original, folder: Path) -> None:
    """Write it into the folder, the card beside it.

    Raises:
        NotRun: There is no network in torch, no interpreter is named, or that has no litert-torch or cannot convert it.
    """
    model, x_BCHW = original.shipped()
    _interpreter()
    if original.litert is None:
        raise NotRun("no interpreter is named in which litert-torch is installed: export.litert: {python: …}")
    with TemporaryDirectory(dir=folder) as beside:
        program = Path(beside) / "network.pt2"
        torch.export.save(torch.export.export(model, (x_BCHW,)), program)
        python = str(Path(original.litert).expanduser())
        command = [python, "-I", str(CONVERTER), str(program), str(folder / NAME)]
        convert(python, command, folder / NAME, PATIENCE)
    write_card(original.card, folder)


def opened(folder: Path, threads: int | None) -> Answer:
    """What answers by the file.

    Raises:
        NotRun: LiteRT is not installed.
    """
    model = _interpreter()(str(folder / NAME), num_threads=threads)
    run = model.get_signature_runner()

    def answer(pixels_BCHW: np.ndarray) -> np.ndarray:
        return run(**{INPUT: pixels_BCHW})[OUTPUT]

    return answer


def _interpreter() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise NotRun("LiteRT is not installed: `pip install -e '.[litert]'`") from None
    return Interpreter
