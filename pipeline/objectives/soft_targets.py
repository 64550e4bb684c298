"""Soft targets: knowledge distillation as Hinton et al. (2015) define it."""

from torch import Tensor
from torch.nn import functional as F

from pipeline.config.numbers import Positive


def soft_targets(z_BC: Tensor, t_BC: Tensor, *, temperature: Positive = 4.0) -> Tensor:
    """T^2 KL(softmax(t/T) || softmax(z/T)): sum over classes, mean over the batch; float32, in nats.

    z_BC, t_BC: logits of student and teacher; no gradient reaches the teacher. T^2 keeps the scale of
    the gradient when T changes (Hinton et al. 2015, eq. 2-4). The paper minimises the cross entropy;
    KL differs by the teacher's entropy, which has no gradient. Rounding of the value, not of its
    gradient, grows as T^2: some 5e-5 at T=20.
    """
    student_BC = F.log_softmax(z_BC.float() / temperature, dim=1)
    teacher_BC = F.log_softmax(t_BC.detach().float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student_BC, teacher_BC, reduction="batchmean", log_target=True)
