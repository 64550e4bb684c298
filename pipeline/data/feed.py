"""Batches of a view, several augmented at once where they are small."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from pipeline.data.batches import Pixels
from pipeline.data.rows import Rows
from pipeline.data.views import Drawn, augment

# Float32 bytes augmented at once, one batch at least: that is twenty calls whatever the size, a tiny network's step not
# many more; and on a CPU the pixels must still lie in the processor's cache when their turn comes.
AHEAD_BYTES = 1 << 20
AHEAD_BYTES_GPU = 1 << 26


def augment_ahead(
    pixels: Pixels, drawn: Drawn, batches: Sequence[Rows], mean_C: Tensor, std_C: Tensor, ahead: int | None = None
) -> Iterator[Tensor]:
    """Yield what `augment` makes of each batch of rows, bit for bit: float32 (B, C, H, W).

    batches: on the device of `drawn`. ahead: bytes that may be augmented at once.
    """
    start = 0
    if ahead is None:
        ahead = AHEAD_BYTES_GPU if mean_C.is_cuda else AHEAD_BYTES
    while start < len(batches):
        several = max(1, ahead // max(1, 4 * len(batches[start]) * pixels.values))
        group = batches[start : start + several]
        rows = Rows.joined(group)
        yield from augment(pixels[rows], drawn, rows.device_B, mean_C, std_C).split([len(each) for each in group])
        start += several
