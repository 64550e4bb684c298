"""torch's exported program, `model.pt2`: logits and probabilities, any batch, the card as extra file."""

import warnings
from pathlib import Path

import numpy as np

from pipeline.compression.formats.original import Answer, NotRun, Original

BATCH = 16  # images a call
PRECISION = "float32"
NAME = "model.pt2"


def write(original: Original, folder: Path) -> None:
    """Write it into the folder.

    Raises:
        NotRun: There is no network in torch, or torch cannot export it.
    """
    from pipeline.compression.export_onnx import NotExported, export_program

    if original.network is None:
        raise NotRun("beside this file there is no network in torch")
    try:
        export_program(original.network(), folder / NAME, original.card)
    except NotExported as error:
        raise NotRun(str(error)) from None


def opened(folder: Path, threads: int | None) -> Answer:
    """What answers by the file; torch's threads are those of this process."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)  # of torch's own loader
        model = torch.export.load(folder / NAME).module()

    def answer(pixels_BCHW: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(pixels_BCHW))[0].numpy()

    return answer
