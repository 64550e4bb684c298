"""Which epoch's weights a training leaves, and whether it goes on: both follow from validation accuracy alone."""

from collections.abc import Sequence

from pipeline.config.recipe import Recipe

Accuracies = Sequence[float | None]


def is_best(accuracies: Accuracies) -> bool:
    """Whether no epoch before the last one is as good; always where there are no accuracies to tell by."""
    *before, last = accuracies
    known = [each for each in before if each is not None]
    return last is None or not known or last > max(known)


def best(accuracies: Accuracies) -> int:
    """The number (from 1) of the epoch with the highest accuracy, the first of equals; without any, of the last."""
    known = [each for each in accuracies if each is not None]
    return 1 + accuracies.index(max(known)) if known else len(accuracies)


def is_over(recipe: Recipe, epoch: int, accuracies_K: Sequence[Accuracies]) -> bool:
    """Whether training ends after `epoch` epochs: all of them, or `patience` in which no network found a better one.

    accuracies_K: of each network, one an epoch.
    """
    if epoch >= recipe.epochs:
        return True
    if recipe.patience is None or not epoch:
        return False
    return all(epoch - best(each) >= recipe.patience for each in accuracies_K)


def chooses(recipe: Recipe) -> bool:
    """Whether validation decides anything while training: then each epoch must be measured as the last one is."""
    return recipe.keep == "best" or recipe.patience is not None
