"""Which epoch's weights a training leaves, and whether it goes on: both follow from validation alone."""

from collections.abc import Sequence

from pipeline.config.recipe import Recipe
from pipeline.config.select import Metric

Figures = Sequence[float | None]  # of one network on validation, one an epoch


def is_best(figures: Figures, metric: Metric) -> bool:
    """Whether no epoch before the last one is as good; always where there are no figures to tell by."""
    *before, last = figures
    known = [metric.merit(each) for each in before if each is not None]
    return last is None or not known or metric.merit(last) > max(known)


def best(figures: Figures, metric: Metric) -> int:
    """The number (from 1) of the best epoch, the first of equals; of the last one where there are no figures."""
    known = [each for each in figures if each is not None]
    return 1 + figures.index(max(known, key=metric.merit)) if known else len(figures)


def is_over(recipe: Recipe, epoch: int, figures_K: Sequence[Figures], metric: Metric) -> bool:
    """Whether training ends after `epoch` epochs: all of them, or `patience` in which no network found a better one.

    figures_K: of each network.
    """
    if epoch >= recipe.epochs:
        return True
    if recipe.patience is None or not epoch:
        return False
    return all(epoch - best(each, metric) >= recipe.patience for each in figures_K)
