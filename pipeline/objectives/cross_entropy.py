"""Cross entropy with the hard label, or with the mixture of two."""

from functools import partial

from torch import Tensor
from torch.nn import functional as F

from pipeline.config.numbers import Share
from pipeline.objectives.hard_labels import NONE, Mixed


def cross_entropy(
    z_BC: Tensor,
    y_B: Tensor,
    w_B: Tensor | None = None,
    l_B: Tensor | None = None,
    mixed: Mixed | None = None,
    *,
    label_smoothing: Share = 0.0,
) -> Tensor:
    """CE(y, z), mean over the rows with a label; float32, in nats.

    z_BC: student logits; y_B: int64 class numbers. With label smoothing e, the target is
    1-e on the label plus e/C on every class (Szegedy et al. 2016, section 7). w_B: what each image counts by its
    class, None where all count 1: the mean is that of w CE over the batch. (Torch's `weight` divides by the sum of the
    batch's weights in place of B, so that an image would count by what it is drawn with.) l_B: what each row counts by
    having a label (`hard_labels.counts`), None where all have one: without any the loss is 0. mixed: what is mixed into
    each row; the loss is s w CE(y, z) + (1-s) w' CE(y', z) with s the row's own share, and y', w' of its partner: that
    of the target s y + (1-s) y' (Zhang et al. 2018, mixup), as cross entropy is linear in its target.
    """
    if w_B is None and l_B is None and mixed is None:
        return F.cross_entropy(z_BC.float(), y_B, label_smoothing=label_smoothing)
    each = partial(_weighted, z_BC.float(), label_smoothing=label_smoothing)
    loss_B = each(y_B, w_B)
    if mixed is not None:
        loss_B = mixed.loss(loss_B, each(mixed.y_B, mixed.w_B))
    return (loss_B if l_B is None else l_B * loss_B).mean()


def _weighted(z_BC: Tensor, y_B: Tensor, w_B: Tensor | None, label_smoothing: float) -> Tensor:
    """w CE(y, z) of each row; 0 where it has no label."""
    loss_B = F.cross_entropy(z_BC, y_B, label_smoothing=label_smoothing, ignore_index=NONE, reduction="none")
    return loss_B if w_B is None else w_B * loss_B
