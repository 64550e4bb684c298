"""A label set of logits that are there already, written as the labeller writes those of a network.

Legend: N samples of the training split, B batch, C classes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from pipeline.labels.basis import SAMPLE_VIEW, sample_rows
from pipeline.labels.kept_basis import kept_basis
from pipeline.labels.labeller import PART_ROWS
from pipeline.labels.parts import Parts
from pipeline.labels.store import LabelsHeader, check_finite, write_header
from pipeline.labels.writer import Writer


def write_given(rows: Callable[[int, np.ndarray], Tensor], header: LabelsHeader, folder: Path, parts: Path) -> str:
    """Write the labels of views 0 .. V of `header` into `folder`; return their content hash.

    rows: gives the logits of some samples in a view, float32 (B, C). parts: a folder that holds what an earlier process
    wrote of these very labels, or nothing. Raises `UserError` for a logit that is not finite.
    """

    def sample() -> Tensor:
        chosen, v = sample_rows(header.count), min(SAMPLE_VIEW, header.views)
        found_NC = rows(v, chosen)
        check_finite(found_NC.isfinite().all(1), v, header.teacher, chosen)
        return found_NC

    basis = kept_basis(parts, header.format, len(header.classes), sample)
    written = Parts(parts, header.format, header.count, len(header.classes), PART_ROWS)
    first, begun = len(written.whole), written.done
    with Writer(written, header.teacher, basis) as writer:
        for v in range(first, header.views + 1):
            for start in range(begun * PART_ROWS, header.count, PART_ROWS):
                writer.write(rows(v, np.arange(start, min(start + PART_ROWS, header.count))))
            begun = 0
    return write_header(folder, header, written.finish(folder, header.views))
