"""Several networks as one, from their stored logits.

Legend: M members, N samples, C classes.
"""

from typing import Literal

import torch
from torch import Tensor

from pipeline.evaluation.metrics import accuracy

Rule = Literal["probabilities", "logits", "weighted"]

TOLERANCE = 1e-6  # nats
STEPS = 20_000


def combine(logits_MNC: Tensor, rule: Rule, weights_M: Tensor | None = None) -> Tensor:
    """The ensemble's logits, float32 (N, C).

    probabilities: log of the mean of the members' probabilities. logits: mean of their logits.
    weighted: log of the mean of probabilities weighted by `weights_M`, on the simplex (see `fit_weights`).
    """
    logits_MNC = logits_MNC.double()
    if rule == "logits":
        return logits_MNC.mean(0).float()
    members = len(logits_MNC)
    if rule == "probabilities":
        weights_M = torch.full((members,), 1 / members)
    if weights_M is None or weights_M.shape != (members,):
        raise ValueError(f"the rule weighted takes {members} weights, one a member")
    log_M = weights_M.to(logits_MNC).log()
    return (logits_MNC.log_softmax(2) + log_M[:, None, None]).logsumexp(0).float()


def fit_weights(logits_MNC: Tensor, y_N: Tensor) -> Tensor:
    """Weights of the mixture of the members' probabilities with the least NLL: float64 (M,), summing to one.

    Stacking on the simplex, for the validation split. EM for a mixture of fixed distributions (Dempster,
    Laird & Rubin 1977): w_m <- w_m g_m with g_m the mean over samples of p_m(y) / sum_j w_j p_j(y). It starts
    from equal weights, draws nothing at random, and no step raises the NLL, which is convex. The NLL is at
    most max log g above the least one (Cover 1984): it stops at 1e-6 nats, or after 20,000 steps.
    """
    members, count, _ = logits_MNC.shape
    log_MN = logits_MNC.double().log_softmax(2).gather(2, y_N.expand(members, count)[:, :, None])[:, :, 0]
    # Only ratios between members count: the best of each sample at 1 keeps hopeless samples from 0 / 0.
    p_MN = (log_MN - log_MN.amax(0)).exp()
    weights_M = torch.full((members,), 1 / members, dtype=torch.float64, device=p_MN.device)
    for _ in range(STEPS):
        gain_M = (p_MN / (weights_M @ p_MN)).mean(1)
        if gain_M.max().log() <= TOLERANCE:
            break
        weights_M = weights_M * gain_M
    return weights_M / weights_M.sum()


def prefixes(
    logits_MNC: Tensor, y_N: Tensor, rule: Rule, fitted_on: tuple[Tensor, Tensor] | None = None
) -> dict[int, float]:
    """Accuracy of the ensembles of the first 2, 3, .. M members, by their number.

    fitted_on: validation logits_MNC of the same members and their y_N, for the rule weighted: each ensemble
    has its weights fitted there, so that (logits_MNC, y_N) may be the test split.
    """
    found = {}
    for members in range(2, len(logits_MNC) + 1):
        weights_M = fit_weights(fitted_on[0][:members], fitted_on[1]) if fitted_on else None
        found[members] = accuracy(combine(logits_MNC[:members], rule, weights_M), y_N)
    return found
