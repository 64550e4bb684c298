"""Hard labels that are not one class an image: rows without a label, and rows that are mixed of two images.

Legend: B batch.
"""

from dataclasses import dataclass

from torch import Tensor

NONE = -1
"""The hard label of an image that has none."""


@dataclass(frozen=True)
class Mixed:
    """What is mixed into each row of a batch, such as by mixup or CutMix: a row is itself by its share, and a partner.

    y_B: the partner's hard label, int64, `NONE` where it has none. share_B: the row's own share, float32 in [0, 1]; the
    rest is the partner's. w_B: what the partner counts by its class, None where all count 1.
    """

    y_B: Tensor
    share_B: Tensor
    w_B: Tensor | None = None

    def loss(self, own_B: Tensor, partner_B: Tensor) -> Tensor:
        """Of each row, of what a loss that is linear in the label is of either label."""
        return self.share_B * own_B + (1 - self.share_B) * partner_B


def counts(y_B: Tensor, mixed: Mixed | None = None) -> Tensor:
    """What each row counts in a mean over the rows with a label: (B,), float32.

    0 without a label, and B / (rows with a label) with one, so that the mean over B of this times a loss is the mean
    over the rows with a label: 0 where the batch has none. A mixed row has one where all that is in it has: of half a
    known image and half an unknown one the label is unknown.
    """
    has_B = y_B >= 0
    if mixed is not None:
        has_B = (has_B | (mixed.share_B == 0)) & ((mixed.y_B >= 0) | (mixed.share_B == 1))
    return has_B * (len(y_B) / has_B.sum().clamp(min=1))
