"""How a file that ships answers the files of the test images, beside what is stored of it.

What is stored it has answered of prepared images, which may be smaller than the files, and compressed once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.commands.predict import BATCH, MODES, opened, shipped
from pipeline.compression.card import BLACK
from pipeline.compression.runtime import Runtime
from pipeline.config.data import Data
from pipeline.data import prepared
from pipeline.data.ahead import cores, in_order
from pipeline.data.decode import NotDecoded, decode
from pipeline.data.found_again import files_of
from pipeline.data.images import Files, content_of
from pipeline.data.keeping import Keeping
from pipeline.dvc import lock
from pipeline.dvc.training_state import state_root
from pipeline.evaluation import cost
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.planning.specs.prepare import PrepareSpec
from pipeline.planning.specs.spec import read_spec


def compared(model: Path | None) -> Iterator[str]:
    """Lines as `check.py` prints them, below what is lost of the accuracy.

    Raises:
        UserError: Nothing is stored of the file, or the images are no files, or others than were prepared.
    """
    path = model or shipped()
    if not (path.parent / "node.json").exists():
        raise UserError(f"nothing is stored beside {path}: --test takes model.onnx of a folder in artifacts/")
    stored_NC = read_predictions(node.read_at(path.parent))["test"].numpy()
    runtime = opened(model)
    spec, data = read_spec("prepare", PrepareSpec), prepared.read(DATA)
    y_N = data.test.labels
    record = lock.read(Path("dvc.lock"))
    why = record.stale({"prepare": spec})["prepare"] if record.stages else None
    if why or len(stored_NC) != len(y_N):
        raise UserError(f"{why or f'{path} was tested on other images'}: {DATA} is made anew by `dvc repro`")
    files, rows_N = files_of("test", y_N, Data(**spec.data), spec.seed, spec.files, Keeping(state_root))
    size = min(BATCH, runtime.images_a_pass)
    answered = in_order(
        partial(_answers, runtime, files),
        np.split(rows_N, range(size, len(rows_N), size)),
        runtime.passes_at_once(size, cores()),
    )
    z_NC = np.concatenate([*answered])
    x_BCHW = np.zeros((1, runtime.card.channels, runtime.card.size, runtime.card.size), np.float32)
    (spent,) = cost.medians_ms([partial(runtime.run, x_BCHW)])
    right, before = ((each.argmax(1) == y_N).mean() for each in (z_NC, stored_NC))
    yield f"test accuracy {100 * right:.2f} % of the files, {100 * before:.2f} % of the prepared images"
    yield f"{(z_NC.argmax(1) != stored_NC.argmax(1)).sum()} of {len(y_N)} images are answered differently"
    yield f"largest difference of a logit: {np.abs(z_NC - stored_NC).max():.3g}"
    yield f"{spent:.3f} ms an image, peak memory not known, predict on the files of test images"


def _answers(runtime: Runtime, files: Files, rows_B: np.ndarray) -> np.ndarray:
    """Logits float32 (B, C)."""
    card = runtime.card
    how = {"background": card.background or BLACK, "framing": card.framing or "crop", "margin": card.margin or 0.0}
    mode = MODES[card.channels]
    try:
        images = [decode(content_of(files, row), mode=mode, size=card.size, **how) for row in rows_B.tolist()]
    except NotDecoded as error:
        raise UserError(f"a file of the test images cannot be read any more ({error}): run `dvc repro`") from None
    return runtime.logits(np.stack(images), batch_size=len(images))
