"""Slow, obvious twins of the losses on layers: the paper's formula, one number at a time, in float64.

Each takes one pair of layers; a twin has the name and the settings of the loss that it doubles.
"""

import torch
from torch import Tensor


def zero(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype)


def flat(x: Tensor) -> list[Tensor]:
    """One vector a sample: everything of it in a row."""
    return [sample.flatten() for sample in x]


def means(x: Tensor) -> list[Tensor]:
    """One vector a sample: the mean of each channel's map."""
    return [torch.stack([channel.mean() for channel in sample]) for sample in x]


def length(vector: Tensor) -> Tensor:
    return torch.sqrt(sum((value**2 for value in vector), zero(vector)))


def dot(x: Tensor, y: Tensor) -> Tensor:
    return sum((a * b for a, b in zip(x, y, strict=True)), zero(x))


def huber(a: Tensor, b: Tensor) -> Tensor:
    """1/2 (a-b)^2 where |a-b| <= 1, else |a-b| - 1/2 (Park et al. 2019, section 3.2.1)."""
    gap = torch.abs(a - b)
    return 0.5 * gap**2 if gap <= 1 else gap - 0.5


def attention_transfer(s: Tensor, t: Tensor, p: int = 2, normalisation: str = "paper") -> Tensor:
    """|| Q_s/||Q_s|| - Q_t/||Q_t|| ||, Q = sum_c |f_c|^p (Zagoruyko & Komodakis 2017, eq. 2), maps of equal size."""
    total, batch, positions = zero(s), len(s), s[0, 0].numel()
    for b in range(batch):
        maps = []
        for f in (s[b], t[b]):
            q = [
                sum((abs(f[c, i, j]) ** p for c in range(len(f))), zero(s))
                for i in range(f.shape[1])
                for j in range(f.shape[2])
            ]
            whole = length(torch.stack(q))
            maps.append([value / whole for value in q])
        gap = torch.stack([a - b for a, b in zip(*maps, strict=True)])
        total = total + (length(gap) / batch if normalisation == "paper" else dot(gap, gap) / (batch * positions))
    return total


def rkd_distance(s: Tensor, t: Tensor, metric: str = "l2") -> Tensor:
    """1/B^2 sum_ij huber(psi(s_i, s_j), psi(t_i, t_j)), psi = distance / mean (Park et al. 2019, section 3.2.1)."""
    tables = []
    for x in (s, t):
        rows = means(x)
        table = {}
        for i in range(len(rows)):
            for j in range(len(rows)):
                if i != j:
                    gap = rows[i] - rows[j]
                    table[i, j] = length(gap) if metric == "l2" else sum((abs(v) for v in gap), zero(s))
        mean = sum(table.values(), zero(s)) / len(table)
        tables.append({key: value / mean for key, value in table.items()})
    return sum((huber(value, tables[1][key]) for key, value in tables[0].items()), zero(s)) / len(s) ** 2


def rkd_angle(s: Tensor, t: Tensor) -> Tensor:
    """1/B^3 sum_ijk huber(cos s_i s_j s_k, cos t_i t_j t_k) of different i, j, k (Park et al. 2019, section 3.2.2)."""
    total, batch = zero(s), len(s)
    for i in range(batch):
        for j in range(batch):
            for k in range(batch):
                if len({i, j, k}) == 3:
                    cosines = []
                    for x in (means(s), means(t)):
                        a, b = x[i] - x[j], x[k] - x[j]
                        cosines.append(dot(a, b) / (length(a) * length(b)))
                    total = total + huber(cosines[0], cosines[1])
    return total / batch**3


def rkd(s: Tensor, t: Tensor, distance_weight: float = 1.0, angle_weight: float = 2.0, metric: str = "l2") -> Tensor:
    """The weighted sum of both (Park et al. 2019, section 4.1)."""
    return distance_weight * rkd_distance(s, t, metric) + angle_weight * rkd_angle(s, t)


def similarity_preserving(s: Tensor, t: Tensor, normalisation: str = "paper") -> Tensor:
    """1/B^2 || G_t - G_s ||_F^2, rows of G = F F^T divided by their L2 norm (Tung & Mori 2019, eq. 1-4).

    "rows": 1/(64 B).
    """
    tables = []
    for x in (flat(s), flat(t)):
        rows = [torch.stack([dot(a, b) for b in x]) for a in x]
        tables.append([row / length(row) for row in rows])
    gaps = [a - b for a, b in zip(*tables, strict=True)]
    return sum((dot(gap, gap) for gap in gaps), zero(s)) / (len(s) * (len(s) if normalisation == "paper" else 64))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return dot(a, b) / (length(a) * length(b))


def cosine_table(s: Tensor, t: Tensor, loss: str = "squared") -> Tensor:
    """1/(B(B-1)) sum over i != j of the squared or Huber difference of the cosines."""
    total, batch, x, y = zero(s), len(s), flat(s), flat(t)
    for i in range(batch):
        for j in range(batch):
            if i != j:
                a, b = cosine(x[i], x[j]), cosine(y[i], y[j])
                total = total + ((a - b) ** 2 if loss == "squared" else huber(a, b))
    return total / (batch * (batch - 1))


def pkt(s: Tensor, t: Tensor, normalisation: str = "paper") -> Tensor:
    """1/B sum_i sum_(j != i) p_ij log(p_ij / q_ij), of K = (1+cos)/2 (Passalis & Tefas 2018, section 3)."""
    total, batch, x, y = zero(s), len(s), flat(s), flat(t)
    for i in range(batch):
        who = [j for j in range(batch) if j != i or normalisation == "code"]
        k_s = [(1 + cosine(x[i], x[j])) / 2 for j in who]
        k_t = [(1 + cosine(y[i], y[j])) / 2 for j in who]
        for a, b in zip(k_s, k_t, strict=True):
            q, p = a / sum(k_s), b / sum(k_t)
            total = total + p * torch.log(p / q)
    return total / (batch if normalisation == "paper" else batch**2)


def fitnet_hint(s: Tensor, t: Tensor, weight: Tensor, bias: Tensor, reduction: str = "mean") -> Tensor:
    """1/2 || t - r(s) ||^2 of a convolution r without padding whose result has t's size (Romero et al. 2015, eq. 3)."""
    total, kernel = zero(s), weight.shape[2]
    for b in range(len(t)):
        for d in range(t.shape[1]):
            for i in range(t.shape[2]):
                for j in range(t.shape[3]):
                    value = bias[d]
                    for c in range(s.shape[1]):
                        for u in range(kernel):
                            for v in range(kernel):
                                value = value + weight[d, c, u, v] * s[b, c, i + u, j + v]
                    total = total + 0.5 * (t[b, d, i, j] - value) ** 2
    return total / (t.numel() if reduction == "mean" else len(t))


def fsp(s: list[Tensor], t: list[Tensor], reduction: str = "mean") -> Tensor:
    """|| G_t - G_s ||^2, G_cd = 1/(HW) sum_hw f_c g_d (Yim et al. 2017, eq. 1-2), maps of equal size and width."""
    total = zero(s[0])
    for layer in range(len(s) - 1):
        batch, first, second = len(s[0]), s[layer].shape[1], s[layer + 1].shape[1]
        for b in range(batch):
            for c in range(first):
                for d in range(second):
                    g_s, g_t = (
                        dot(x[layer][b, c].flatten(), x[layer + 1][b, d].flatten()) / x[layer][b, c].numel()
                        for x in (s, t)
                    )
                    total = total + (g_t - g_s) ** 2 / (batch * (first * second if reduction == "mean" else 1))
    return total
