"""Slow, obvious twins of every loss: the paper's formula, one number at a time. Last, those of the schedules.

Each takes and gives float64; autograd goes through the loops, so gradients can be compared too.
A twin has the name, the positional parameters and the settings of the loss that it doubles.
"""

import cmath
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline.config.recipe import Recipe
from pipeline.objectives.hard_labels import Mixed


def softmax(row_C: Tensor, temperature: float = 1.0) -> list[Tensor]:
    """q_c = exp(z_c/T) / sum_k exp(z_k/T) (Hinton et al. 2015, eq. 1)."""
    top = row_C.max().detach()
    powers = [torch.exp((value - top) / temperature) for value in row_C]
    whole = sum(powers, torch.zeros((), dtype=row_C.dtype))
    return [power / whole for power in powers]


def cross_entropy(
    z_BC: Tensor,
    y_B: Tensor,
    w_B: Tensor | None = None,
    l_B: Tensor | None = None,
    mixed: Mixed | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """-1/M sum_b sum_i s_bi w_bi sum_c q_bic log p_bc with q = (1-e) onehot(y) + e/C (Szegedy et al. 2016, section 7).

    i: the images in a row, s their shares, as mixup has them. Of the M rows with a label, -1 being none; l_B is not
    looked at.
    """
    rows, classes = z_BC.shape
    total, known = 0.0 * z_BC.sum(), 0
    for b in range(rows):
        images = [(int(y_B[b]), 1.0, 1.0 if w_B is None else float(w_B[b]))]
        if mixed is not None:
            share, weight = float(mixed.share_B[b]), 1.0 if mixed.w_B is None else float(mixed.w_B[b])
            images = [(images[0][0], share, images[0][2]), (int(mixed.y_B[b]), 1 - share, weight)]
        images = [image for image in images if image[1] > 0]
        if any(y == -1 for y, _, _ in images):
            continue
        known += 1
        p_C = softmax(z_BC[b])
        for y, share, weight in images:
            for c in range(classes):
                q = label_smoothing / classes + (1 - label_smoothing if c == y else 0)
                total = total - share * weight * q * torch.log(p_C[c])
    return total / max(known, 1)


def soft_targets(z_BC: Tensor, t_BC: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2/B sum_b sum_c p_bc log(p_bc / q_bc), p of the teacher and q of the student at temperature T."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C, q_C = softmax(t_BC[b], temperature), softmax(z_BC[b], temperature)
        for c in range(classes):
            total = total + p_C[c] * torch.log(p_C[c] / q_C[c])
    return temperature**2 * total / rows


def label_refinery(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """1/B sum_b sum_c p_bc log(p_bc / q_bc) (Bagherinezhad et al. 2018, eq. 1)."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C, q_C = softmax(t_BC[b]), softmax(z_BC[b])
        for c in range(classes):
            total = total + p_C[c] * torch.log(p_C[c] / q_C[c])
    return total / rows


def born_again(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """-1/B sum_b sum_c p_bc log q_bc (Furlanello et al. 2018, eq. 3)."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C, q_C = softmax(t_BC[b]), softmax(z_BC[b])
        for c in range(classes):
            total = total - p_C[c] * torch.log(q_C[c])
    return total / rows


def logit_matching(z_BC: Tensor, t_BC: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    """1/B sum_b 1/2 sum_c (z_bc - t_bc)^2 (Ba & Caruana 2014, eq. 2); "mean" divides by C too."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        for c in range(classes):
            total = total + 0.5 * (z_BC[b, c] - t_BC[b, c]) ** 2
    return total / rows / (classes if reduction == "mean" else 1)


def dkd(
    z_BC: Tensor,
    t_BC: Tensor,
    y_B: Tensor,
    l_B: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """T^2/M sum_b (alpha TCKD_b + beta NCKD_b) (Zhao et al. 2022, eq. 4-7), of the M rows with a label."""
    rows, classes = z_BC.shape
    total, known = 0.0 * z_BC.sum(), 0
    for b in range(rows):
        p_C, q_C, y = softmax(t_BC[b], temperature), softmax(z_BC[b], temperature), int(y_B[b])
        if y == -1:
            continue
        known += 1
        others = [c for c in range(classes) if c != y]
        if not others:
            continue
        p_not = sum((p_C[c] for c in others), torch.zeros((), dtype=z_BC.dtype))
        q_not = sum((q_C[c] for c in others), torch.zeros((), dtype=z_BC.dtype))
        total = total + alpha * (p_C[y] * torch.log(p_C[y] / q_C[y]) + p_not * torch.log(p_not / q_not))
        for c in others:
            p, q = p_C[c] / p_not, q_C[c] / q_not
            total = total + beta * p * torch.log(p / q)
    return temperature**2 * total / max(known, 1)


def pearson(x: list[Tensor], y: list[Tensor]) -> Tensor:
    """rho = cov(x, y) / (std(x) std(y)) (Huang et al. 2022, section 4)."""
    mean_x, mean_y = torch.stack(x).mean(), torch.stack(y).mean()
    zero = torch.zeros((), dtype=mean_x.dtype)
    covariance = sum(((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)), zero)
    spread_x = sum(((a - mean_x) ** 2 for a in x), zero)
    spread_y = sum(((b - mean_y) ** 2 for b in y), zero)
    return covariance / torch.sqrt(spread_x * spread_y)


def dist(z_BC: Tensor, t_BC: Tensor, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> Tensor:
    """T^2 (beta/B sum_b (1 - rho of row b) + gamma/C sum_c (1 - rho of column c)) (Huang et al. 2022, section 4)."""
    rows, classes = z_BC.shape
    q_BC = [softmax(z_BC[b], temperature) for b in range(rows)]
    p_BC = [softmax(t_BC[b], temperature) for b in range(rows)]
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        total = total + beta / rows * (1 - pearson(q_BC[b], p_BC[b]))
    for c in range(classes):
        total = total + gamma / classes * (1 - pearson([q[c] for q in q_BC], [p[c] for p in p_BC]))
    return temperature**2 * total


def standardised(row_C: Tensor) -> Tensor:
    """(x - mean) / sqrt(1/C sum_c (x_c - mean)^2) (Sun et al. 2024, algorithm 1)."""
    mean = row_C.sum() / len(row_C)
    variance = torch.stack([(value - mean) ** 2 for value in row_C]).sum() / len(row_C)
    return (row_C - mean) / torch.sqrt(variance)


def logit_standardisation(z_BC: Tensor, t_BC: Tensor, temperature: float = 2.0) -> Tensor:
    """`soft_targets` on standardised rows."""
    z_BC, t_BC = (torch.stack([standardised(row_C) for row_C in logits_BC]) for logits_BC in (z_BC, t_BC))
    return soft_targets(z_BC, t_BC, temperature)


def cwtm(z_BC: Tensor, t_BC: Tensor, y_B: Tensor, w_B: Tensor | None = None, l_B: Tensor | None = None) -> Tensor:
    """sum_b w_b (max p_b / sum_u max p_u) (-log q_b[y_b]) (Furlanello et al. 2018, section 3.2); b, u with a label."""
    most = {b: max(softmax(row_C)) for b, row_C in enumerate(t_BC) if y_B[b] != -1}
    total = 0.0 * z_BC.sum()
    for b in most:
        share = most[b] / sum(most.values()) * (1 if w_B is None else w_B[b])
        total = total - share * torch.log(softmax(z_BC[b])[int(y_B[b])])
    return total


def mutual(z_BC: Tensor, peers: Sequence[Tensor], ensemble: bool = False) -> Tensor:
    """1/(K-1) sum_j KL(p_j || q) (Zhang et al. 2018), or KL(mean_j p_j || q); mean over the batch."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        q_C = softmax(z_BC[b])
        p_KC = [softmax(peer_BC[b]) for peer_BC in peers]
        if ensemble:
            p_KC = [[torch.stack([p_C[c] for p_C in p_KC]).mean() for c in range(classes)]]
        for p_C in p_KC:
            for c in range(classes):
                total = total + p_C[c] * torch.log(p_C[c] / q_C[c]) / len(p_KC)
    return total / rows


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of one step, by doing what the schedule does at each step up to it.

    Warm-up climbs a stair of equal height, whose last tread has the full rate. After it, `cosine` follows the height
    of a point that goes half around a circle by equal angles, from its top; `step` multiplies by `gamma` in the
    first step at or after each milestone, a milestone within warm-up included.
    """
    warm = sum(1 for number in range(steps) if number + 0.5 < recipe.warmup * steps)
    left = steps - warm
    point, factor, rate = complex(0, 1), 1.0, 0.0
    for number in range(step + 1):
        for milestone in recipe.milestones:
            if number - 1 < milestone * steps <= number:
                factor *= recipe.gamma
        if number < warm:
            rate += recipe.lr / warm
        elif recipe.schedule == "cosine":
            rate = recipe.lr * (point.imag + 1) / 2
            point *= cmath.exp(-1j * cmath.pi / left)
        elif recipe.schedule == "step":
            rate = recipe.lr * factor
        else:
            rate = recipe.lr
    return rate


def weight(settings: Mapping[str, float | None], step: int, steps: int) -> float:
    """What a term counts in one step: from `weight` in equal paces to `final`, times its rise over `warmup`."""
    value, final = settings["weight"], settings.get("final")
    assert value is not None
    pace = 0.0 if final is None else (final - value) / steps
    rise = (settings.get("warmup") or 0.0) * steps
    for _ in range(step):
        value += pace
    return value * (step / rise if step < rise else 1.0)


def view(epoch: int, distinct: int | None, before: int | None) -> int:
    """The view of an epoch: 1, 2, 3 and so on, from the first again after `distinct`; those of `before` come first."""
    at = 0
    for _ in range((before or 0) + epoch + 1):
        at = 1 if at == distinct else at + 1
    return at
