"""Cross entropy with the hard label."""

from torch import Tensor
from torch.nn import functional as F

from pipeline.config.numbers import Share


def cross_entropy(z_BC: Tensor, y_B: Tensor, w_B: Tensor | None = None, *, label_smoothing: Share = 0.0) -> Tensor:
    """CE(y, z), mean over the batch; float32, in nats.

    z_BC: student logits; y_B: int64 class numbers. With label smoothing e, the target is
    1-e on the label plus e/C on every class (Szegedy et al. 2016, section 7). w_B: what each image counts by its
    class, None where all count 1: the mean is that of w CE over the batch. (Torch's `weight` divides by the sum of the
    batch's weights in place of B, so that an image would count by what it is drawn with.)
    """
    if w_B is not None:
        return (w_B * F.cross_entropy(z_BC.float(), y_B, label_smoothing=label_smoothing, reduction="none")).mean()
    return F.cross_entropy(z_BC.float(), y_B, label_smoothing=label_smoothing)
