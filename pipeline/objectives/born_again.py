"""Born-again networks' loss: cross entropy against the generation before."""

from torch import Tensor
from torch.nn import functional as F


def born_again(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """-sum_c softmax(t)_c log softmax(z)_c, mean over the batch; float32, in nats.

    z_BC, t_BC: logits of this generation and of the one before, which no gradient reaches
    (Furlanello et al. 2018, eq. 3). Its least value is the teacher's entropy, not 0. The variant
    with hard labels is this term beside `cross_entropy`.
    """
    return F.cross_entropy(z_BC.float(), t_BC.detach().float().softmax(dim=1))
