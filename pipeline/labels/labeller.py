"""A network's logits: of the labelled views of the training split, and of the clean images of any split.

All passes are of one fixed size. On a CPU the last bits of a logit depend on the size of the batch, and
not on what else is in it: stored labels are, bit for bit, the output of a live teacher in batches of that size.

`forward` takes images x_BCHW, normalised by what is handed with it, and gives float32 logits z_BC; its network is in
eval mode.
Legend: N samples of a split, B batch, C channels of images, or classes of logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.passes import images_a_pass
from pipeline.data.batches import Pixels
from pipeline.data.feed import augment_ahead
from pipeline.data.pictures import Pictures
from pipeline.data.prepared import Prepared
from pipeline.data.rows import Rows
from pipeline.data.views import describe, draw, normalise
from pipeline.labels.basis import SAMPLE_VIEW, sample_rows
from pipeline.labels.kept_basis import kept_basis
from pipeline.labels.layout import Format
from pipeline.labels.parts import Parts
from pipeline.labels.store import LabelsHeader, check_finite, write_header
from pipeline.labels.writer import Writer
from pipeline.models.activations import largest_activation
from pipeline.models.shown import Shown

if TYPE_CHECKING:
    from pipeline.config.input import Input

    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.views import Views

Forward = Callable[[Tensor], Tensor]
ALIVE = 3  # tensors of the largest size that are there together: of an inverted residual, for one
PART_ROWS = 512  # of what is written at once, in whole passes: a kill costs as many forward passes


def forward_fixed(forward: Forward, x_BCHW: Tensor, size: int) -> Tensor:
    """Logits (B, C) of any number of images, in passes of exactly `size`.

    The last pass is filled up with copies of the last image, whose logits are dropped.
    """
    passes = []
    for start in range(0, len(x_BCHW), size):
        part_BCHW = x_BCHW[start : start + size]
        missing = size - len(part_BCHW)
        if missing:
            part_BCHW = torch.cat([part_BCHW, part_BCHW[-1:].expand(missing, *part_BCHW.shape[1:])])
        passes.append(forward(part_BCHW)[: size - missing])
    return passes[0] if len(passes) == 1 else torch.cat(passes)


def evaluation_batch(model: nn.Module, channels: int, size: int) -> int:
    """Images of a forward pass of predictions. channels, size: of its images."""
    return images_a_pass(ALIVE * largest_activation(model, channels, size))


def label(
    forward: Forward,
    images: Pixels | Pictures,
    data: Prepared,
    views: Views,
    seed: int,
    stream: str,
    count: int,
    *,
    batch_size: int,
    format: Format,
    folder: Path,
    parts: Path,
    device: torch.device,
    teacher: str,
    teacher_hash: str,
    shown: Shown,
    input: Input | None = None,
    show: Callable[[int], None] = lambda rows: None,
) -> str:
    """Write the labels of views 0 .. `count` of the training split into `folder`; return their content hash.

    images: of the training split, on `device`. seed, stream: of the views. parts: a folder that holds what an earlier
    process wrote of these very labels, or nothing. teacher, teacher_hash: the node that `forward` is, and the hash of
    its weights. shown: what `forward` takes views as. input: of that network, for the header. show: is called with
    the rows of all views that are done. Raises `UserError` for a logit that is not finite.
    """

    def logits(v: int, left: Sequence[Rows]) -> Iterator[Tensor]:
        drawn = draw(views, seed, stream, v, len(images), data.size, data.train.aspect_N)
        for x_BCHW in augment_ahead(images, drawn, left, shown.mean_C, shown.std_C):
            yield forward_fixed(forward, x_BCHW, batch_size)

    def sample() -> Tensor:
        chosen = sample_rows(len(images))
        with torch.no_grad():
            found_NC = torch.cat(
                [z_BC.cpu() for z_BC in logits(SAMPLE_VIEW, Rows.on(device, chosen).split(batch_size))]
            )
        check_finite(found_NC.isfinite().all(1), SAMPLE_VIEW, teacher, chosen)
        return found_NC

    rows = Rows.on(device, np.arange(len(images))).split(batch_size)
    several = max(1, PART_ROWS // batch_size)  # batches of a part
    basis = kept_basis(parts, format, len(data.classes), sample)
    written = Parts(parts, format, len(images), len(data.classes), several * batch_size)
    first, begun = len(written.whole), written.done
    done = min(first * len(images) + sum(written.sizes[:begun]), (count + 1) * len(images))
    show(done)
    # Not inference mode: no_grad runs the very kernels that a live teacher runs inside a training step.
    with torch.no_grad(), Writer(written, teacher, basis) as writer:
        for v in range(first, count + 1):
            passes = logits(v, rows[several * begun :])
            while part := list(islice(passes, several)):
                writer.write(torch.cat(part))
                done += sum(map(len, part))
                show(done)
            begun = 0
    header = LabelsHeader(
        teacher=teacher,
        teacher_hash=teacher_hash,
        data_hash=data.hash,
        view_spec=describe(views, seed, stream, len(images), data.renderer),
        classes=data.classes,
        count=len(images),
        views=count,
        format=format,
        input=input and input.as_json(),
    )
    return write_header(folder, header, written.finish(folder, count))


def predict(forward: Forward, pixels: Pixels, mean_C: Tensor, std_C: Tensor, *, batch_size: int) -> Tensor:
    """Logits of a split's clean images: float32 (N, C), on the device of `pixels` and `mean_C`."""
    with torch.no_grad():
        logits = [
            forward_fixed(forward, normalise(x_BCHW, mean_C, std_C), batch_size)
            for x_BCHW in pixels.each(Rows.on(mean_C.device, np.arange(len(pixels))).split(batch_size))
        ]
    return torch.cat(logits).float()
