"""The rows of the learning curve.

Legend: S steps of an epoch, K networks, L losses (their weighted total first, and last the gradient's largest entry).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipeline.base.curve_row import CurveRow
from pipeline.config.recipe import Recipe
from pipeline.config.select import ACCURACY, Metric
from pipeline.training.checkpoint import Position
from pipeline.training.recipe import learning_rate


def epoch_rows(
    at: Position,
    recipe: Recipe,
    names: Sequence[Sequence[str]],
    sizes_S: Sequence[int],
    losses_SKL: Tensor,
    figures: Sequence[Mapping[str, float]],
    metric: Metric,
) -> list[CurveRow]:
    """One row a network, of the epoch whose last step is done; `names`: of the losses of each, total first.

    figures: on validation, by metric; empty where logits are not trained. metric: the one that decides, which has a
    column beside that of the accuracy.
    Each image weighs the same, in whatever batch it was: sizes_S are theirs.
    """
    steps, images = len(sizes_S), sum(sizes_S)
    shares_S = torch.tensor(sizes_S, dtype=torch.float64) / images
    means_KL = torch.tensordot(shares_S, losses_SKL.cpu().double(), dims=1).tolist()
    # Not the optimiser's: it has forgotten the rate of a step that was done before training went on.
    last = (at.epoch + 1) * steps - 1
    common = {
        "epoch": at.epoch + 1,
        "learning_rate": learning_rate(recipe, last, recipe.epochs * steps),
        "images_per_second": round(images / at.epoch_seconds, 1),
    }
    return [
        common
        | {each.column: measured.get(each.name) for each in (ACCURACY, metric)}
        | {"loss": means[0]}
        | {f"loss_{name}": mean for name, mean in zip(own[1:], means[1:], strict=False)}
        for own, means, measured in zip(names, means_KL, figures, strict=True)
    ]
