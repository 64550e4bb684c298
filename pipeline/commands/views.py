"""The images that a teacher elsewhere is to answer: our views, and the clean images, each as its row is to be named.

One .npz file a view, with the columns of a file of answers (see `pipeline.labels.answers`) and `images`, float32
(R, C, H, W) of pixels 0 .. 1. Whoever answers puts `logits` in place of `images`; the rows of all files make one file.

Legend: R rows of a file, N images of a split.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.base.errors import UserError
from pipeline.base.files import replacing
from pipeline.base.paths import DATA
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.feed import augment_ahead, fed
from pipeline.data.origins import Origins, read_origins
from pipeline.data.prepared import Prepared, Split
from pipeline.data.rows import Rows
from pipeline.data.views import describe, draw
from pipeline.labels.answers import our_views
from pipeline.models.shown import Shown
from pipeline.planning.specs.foreign import AnswersSpec
from pipeline.planning.specs.spec import read_spec_if
from pipeline.training.device import HOST_BYTES
from pipeline.training.foreign import STREAM
from pipeline.training.seen_views import held

BATCH = 1024  # images in memory as floats, beside the file's own
CPU = torch.device("cpu")


def write(folder: Path) -> list[Path]:
    """Write the views that the plan's teacher is to answer; return the files. View 0 has validation and test, too.

    Raises:
        UserError: The teacher of the plan is no file of answers, or the images are not prepared for one.
    """
    spec = read_spec_if("teacher", AnswersSpec)
    if spec is None:
        raise UserError(
            "params.yaml: teacher.answers is not given, and says how views are to be answered: set "
            "`answers: {file: answers.npz, sha256: …, for_views: own}` (64 zeros until the file is there), then run "
            "`dvc repro prepare`"
        )
    data = prepared.read(DATA)
    origins = read_origins(DATA, data.hash)
    count = min(spec.labels.views, held(spec.labels, len(data.train), len(data.classes)))
    views, seed = Views(**spec.forward.views), spec.forward.views_seed
    described = describe(views, seed, STREAM, len(data.train), data.renderer)
    said = json.dumps(our_views(described, data.hash))
    written = []
    for v in range(count + 1 if spec.answers.for_views == "own" else 1):
        splits = ("train",) if v else ("train", "validation", "test")
        numbers_R = np.concatenate([origins.rows[split] for split in splits])
        images = np.concatenate([pixels(data, split, views, (seed, STREAM, v)) for split in splits])
        content = {**_named(origins, numbers_R), "view": np.full(len(numbers_R), v), "images": images}
        path = folder / f"view_{v:03}.npz"
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **content, view_spec=np.array(said))
        written.append(path)
    return written


def pixels(
    data: Prepared, split: str, views: Views, drawn_by: tuple[int, str, int], rows_B: np.ndarray | None = None
) -> np.ndarray:
    """A view of images of a split as the data has them: float32 (B, C, H, W), pixels 0 .. 1.

    drawn_by: seed, stream and number of the view. rows_B: of which images; None for all.
    """
    of: Split = getattr(data, split)
    shown = Shown([None], (0.0,) * data.channels, (1.0,) * data.channels, CPU, data.rendering(None))
    drawn = draw(views, *drawn_by, len(of), data.size, of.aspect_N)
    rows = Rows.on(CPU, np.arange(len(of)) if rows_B is None else rows_B).split(BATCH)
    images = fed(of.images, shown.renderings, CPU, HOST_BYTES)
    return torch.cat([*augment_ahead(images, drawn, rows, shown.mean_C, shown.std_C)]).numpy()


def _named(origins: Origins, numbers_R: np.ndarray) -> dict[str, Any]:
    if origins.paths is None:
        return {"number": numbers_R}
    return {"path": np.array([origins.paths[number] for number in numbers_R.tolist()])}
