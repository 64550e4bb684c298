"""Label refinery's loss: the label of the crop, from the generation before."""

from torch import Tensor
from torch.nn import functional as F


def label_refinery(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """KL(softmax(t) || softmax(z)): sum over classes, mean over the batch; float32, in nats.

    z_BC, t_BC: logits of student and refinery *on the same crop*; no gradient reaches the refinery.
    Bagherinezhad et al. 2018, eq. 1. There is no temperature and no hard label.
    """
    student_BC = F.log_softmax(z_BC.float(), dim=1)
    refinery_BC = F.log_softmax(t_BC.detach().float(), dim=1)
    return F.kl_div(student_BC, refinery_BC, reduction="batchmean", log_target=True)
