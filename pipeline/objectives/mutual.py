"""Deep mutual learning's loss: each network learns from its peers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.base.errors import UserError


def mutual(z_BC: Tensor, peers: Sequence[Tensor], *, ensemble: bool = False) -> Tensor:
    """1/(K-1) sum_j KL(softmax(p_j) || softmax(z)): sum over classes, mean over the batch; float32, in nats.

    z_BC: logits of the network that learns; peers: the K-1 others' logits on the same batch, each (B, C),
    which no gradient reaches (Zhang et al. 2018, the extension to larger cohorts). With `ensemble`, DML_e of the
    same section: KL(mean_j softmax(p_j) || softmax(z)). At fixed peers the two have the same gradient: KL is
    linear in its target up to the target's entropy. The hard label's term is `cross_entropy`; the order of
    updates is the loop's.
    """
    for number, peer_BC in enumerate(peers, start=1):
        if peer_BC.shape != z_BC.shape:
            raise UserError(
                f"mutual: peer {number} gives logits of shape {tuple(peer_BC.shape)}, not {tuple(z_BC.shape)}: "
                "all networks must see the same batch and tell the same classes apart"
            )
    if not peers:
        raise UserError("mutual: a network without peers has nobody to learn from: train at least 2 networks")
    student_BC = z_BC.float().log_softmax(dim=1)
    peers_KBC = torch.stack([peer_BC.detach().float().log_softmax(dim=1) for peer_BC in peers])
    if ensemble:
        mean_BC = peers_KBC.logsumexp(dim=0) - math.log(len(peers))
        return F.kl_div(student_BC, mean_BC, reduction="batchmean", log_target=True)
    losses = [F.kl_div(student_BC, peer_BC, reduction="batchmean", log_target=True) for peer_BC in peers_KBC]
    return torch.stack(losses).mean()
