"""A label set of logits that are there already, written as the labeller writes those of a network.

Legend: N samples of the training split, C classes.
"""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from pipeline.labels.labeller import PART_ROWS
from pipeline.labels.parts import Parts
from pipeline.labels.store import LabelsHeader, write_header
from pipeline.labels.writer import Writer


def write_given(view: Callable[[int], Tensor], header: LabelsHeader, folder: Path, parts: Path) -> str:
    """Write the labels of views 0 .. V of `header` into `folder`; return their content hash.

    view: gives the logits of all samples in a view, float32 (N, C). parts: a folder that holds what an earlier process
    wrote of these very labels, or nothing. Raises `UserError` for a logit that is not finite.
    """
    written = Parts(parts, header.format, header.count, len(header.classes), PART_ROWS)
    first, begun = len(written.whole), written.done
    with Writer(written, header.teacher) as writer:
        for v in range(first, header.views + 1):
            for z_BC in view(v).split(PART_ROWS)[begun:]:
                writer.write(z_BC)
            begun = 0
    return write_header(folder, header, written.finish(folder, header.views))
