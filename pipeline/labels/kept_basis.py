"""The file of the basis of low-rank labels: beside the parts until they are whole, then beside the views.

Legend: N rows of the sample, C classes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.labels.basis import Basis, fit
from pipeline.labels.layout import BASIS, Format, basis_layout
from pipeline.labels.mapped import mapped, remedy

SEAL = "basis"


def kept_basis(folder: Path, format: Format, classes: int, sample: Callable[[], Tensor]) -> Basis | None:
    """The basis that a folder of parts holds, or one that is fitted to a sample and kept there; None of other forms.

    sample: gives logits, float (N, C), on the host. It is asked where there is no basis, or a damaged one, which the
    parts that are there were encoded in: they go, too.
    """
    if format.rank is None:
        return None
    path, seal = folder / BASIS, folder / SEAL
    if not (path.is_file() and seal.is_file() and seal.read_bytes() == files.sha256(path).encode()):
        for left in folder.iterdir():
            left.unlink()
        fitted = fit(sample(), format.rank)
        files.write_bytes(path, save({"basis": fitted.steps_RC.numpy(), "mean": fitted.mean_C.numpy()}))
        files.write_text(seal, files.sha256(path))
    return read_basis(folder, format, classes, seal.read_text())


def read_basis(folder: Path, format: Format, classes: int, sha256: str) -> Basis | None:
    """The basis in a folder of labels, or of their parts; None of other forms.

    Raises:
        UserError: It is missing, or damaged.
    """
    if format.rank is None:
        return None
    path = folder / BASIS
    arrays = mapped(path, basis_layout(format, classes), sha256)
    if any(not np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{path} has numbers that are not finite: {remedy(folder)}")
    steps_RC, mean_C = (torch.from_numpy(arrays[name].astype(np.float32)) for name in ("basis", "mean"))
    return Basis(mean_C, steps_RC)
