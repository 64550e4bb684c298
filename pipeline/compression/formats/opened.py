"""A file for another runtime, ready to answer as one of onnxruntime does: for `predict`.

Legend: B images of a batch, C channels or classes, H = W edge in pixels.
"""

from pathlib import Path

import numpy as np

from pipeline.base.errors import UserError, innermost
from pipeline.compression.formats import of_litert, of_ncnn, of_openvino, of_torch
from pipeline.compression.formats.original import NotRun
from pipeline.compression.runtime import Runtime

FORMATS = {each.NAME: each for each in (of_openvino, of_ncnn, of_litert)}


class OtherRuntime(Runtime):
    """As `Runtime`, of `model.xml`, `model.param` or `model.tflite` as `export` left it, with what lies beside it.

    Args:
        threads: CPU threads; None takes all cores. One pass at a time: what a pass needs is the runtime's own.

    Raises:
        UserError: It is missing or another file, its runtime is not installed, or that cannot read it.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = path
        if path.name == of_torch.NAME:
            raise UserError(
                f"{path} is a program of torch.export, which may run code as it is read: name an .onnx file"
            )
        if path.name not in FORMATS:
            raise UserError(f"{path} has not the name that export gave it: {', '.join(FORMATS)}, or an .onnx file")
        if not path.is_file():
            raise UserError(f"{path} is missing: name a file that export wrote")
        self._format = FORMATS[path.name]
        try:
            self.card = self._format.card(path.parent)
            self._answer = self._format.opened(path.parent, threads)
        except NotRun as why:
            raise UserError(f"{path}: {why}") from None
        except (MemoryError, UserError):
            raise
        except Exception as error:  # each runtime has classes of its own
            raise UserError(
                f"{path} is no model that its runtime can run ({innermost(error)}): export it anew"
            ) from None

    @property
    def images_a_pass(self) -> int:
        """As many as the file was made for."""
        return self._format.BATCH

    def passes_at_once(self, images: int, most: int) -> int:
        """One: it takes all cores by itself, and what answers knows one caller."""
        return 1

    def run(self, pixels_BCHW: np.ndarray) -> np.ndarray:
        """As of `Runtime`."""
        try:
            return self._answer(pixels_BCHW)
        except MemoryError:
            raise
        except Exception as error:
            raise UserError(f"{self.path} fails while it runs ({innermost(error)}): export it anew") from None
