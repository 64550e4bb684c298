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
FOLDS = 5
AT_ONCE = 4096  # samples that are in memory in float64 together: of many, all would take several times what they do


def combine(logits_MNC: Tensor, rule: Rule, weights_M: Tensor | None = None) -> Tensor:
    """The ensemble's logits, float32 (N, C).

    probabilities: log of the mean of the members' probabilities. logits: mean of their logits.
    weighted: log of the mean of probabilities weighted by `weights_M`, on the simplex (see `fit_weights`).
    """
    return torch.cat([_combined(part_MBC.double(), rule, weights_M) for part_MBC in logits_MNC.split(AT_ONCE, 1)])


def _combined(logits_MNC: Tensor, rule: Rule, weights_M: Tensor | None) -> Tensor:
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
    pairs = zip(logits_MNC.split(AT_ONCE, 1), y_N.expand(members, count).split(AT_ONCE, 1), strict=True)
    log_MN = torch.cat([part.double().log_softmax(2).gather(2, y_MB[:, :, None])[:, :, 0] for part, y_MB in pairs], 1)
    # Only ratios between members count: the best of each sample at 1 keeps hopeless samples from 0 / 0.
    p_MN = (log_MN - log_MN.amax(0)).exp()
    weights_M = torch.full((members,), 1 / members, dtype=torch.float64, device=p_MN.device)
    for _ in range(STEPS):
        gain_M = (p_MN / (weights_M @ p_MN)).mean(1)
        if gain_M.max().log() <= TOLERANCE:
            break
        weights_M = weights_M * gain_M
    return weights_M / weights_M.sum()


def cross_fitted(logits_MNC: Tensor, y_N: Tensor) -> Tensor:
    """Logits of the rule weighted on the images that its weights are fitted on: float32 (N, C).

    What is fitted on an image knows its class. So each of `FOLDS` folds (row n is in fold n mod FOLDS of its class) is
    combined with the weights that the other folds give: scores of these logits are no better than of new images.
    """
    fold_N = torch.empty_like(y_N)
    for c in y_N.unique():
        rows = (y_N == c).nonzero()[:, 0]
        fold_N[rows] = torch.arange(len(rows), device=y_N.device) % FOLDS
    found_NC = torch.empty(logits_MNC.shape[1:], dtype=torch.float32, device=logits_MNC.device)
    for fold in fold_N.unique():
        held_N = fold_N == fold
        rest_MNC, rest_N = logits_MNC[:, ~held_N], y_N[~held_N]
        # With one fold there is nothing to fit on: equal weights know no class either.
        weights_M = fit_weights(rest_MNC, rest_N) if len(rest_N) else torch.ones(len(logits_MNC)) / len(logits_MNC)
        found_NC[held_N] = combine(logits_MNC[:, held_N], "weighted", weights_M)
    return found_NC


def prefixes(
    logits_MNC: Tensor, y_N: Tensor, rule: Rule, fitted_on: tuple[Tensor, Tensor] | None = None
) -> dict[int, float]:
    """Accuracy of the ensembles of the first 2, 3, .. M members, by their number.

    fitted_on: for the rule weighted, where (logits_MNC, y_N) is the test split: validation logits_MNC of the same
    members and their y_N, on which each ensemble has its weights fitted. Without, they are cross-fitted.
    """
    found = {}
    for members in range(2, len(logits_MNC) + 1):
        first_MNC = logits_MNC[:members]
        if rule != "weighted":
            combined_NC = combine(first_MNC, rule)
        elif fitted_on:
            combined_NC = combine(first_MNC, rule, fit_weights(fitted_on[0][:members], fitted_on[1]))
        else:
            combined_NC = cross_fitted(first_MNC, y_N)
        found[members] = accuracy(combined_NC, y_N)
    return found
