"""How strong each term of an objective is as training starts, and the weights that `balance` makes of it.

The measure is the norm of the term's gradient over that of cross entropy with the hard labels (where images are mixed,
with their mixtures), weight 1 and no smoothing, whether or not the objective has that term: on the parameters that both
reach, the median of several batches. A batch in which no image has a label is left out.

Legend: B batch, C classes, K networks.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.config.term import default_weight
from pipeline.console.progress import log
from pipeline.objectives.compose import Signals
from pipeline.objectives.hard_labels import NONE, Mixed, counts
from pipeline.training.batch import Batch
from pipeline.training.learner import Learner

BATCHES = 8
LEAST = 1e-6  # of cross entropy's gradient: a term below it cannot be balanced
MOST = 100  # times the default weight: what `balance` finds at most
DIGITS = 3  # of a weight that is found


def balance(learners: Sequence[Learner], opening: Callable[[int], Iterable[Batch]]) -> list[dict[str, float]]:
    """The weight of each term that has `balance`, one mapping a network; it stands before warm-up and fading.

    Args:
        learners: The networks, at the start of their training; they are left as they were.
        opening: Gives so many of the batches that training begins with.

    Raises:
        UserError: A term's gradient is below `LEAST` times that of cross entropy, or the latter has none.
    """
    asked = [each.objective.balanced() for each in learners]
    if not any(asked):
        return [{} for _ in learners]
    strengths = relative_gradients(learners, opening(BATCHES))
    return [
        {name: _weight(name, times, of[name]) for name, times in wanted.items()}
        for wanted, of in zip(asked, strengths, strict=True)
    ]


def relative_gradients(learners: Sequence[Learner], batches: Iterable[Batch]) -> list[dict[str, float]]:
    """|gradient of the unweighted term| / |gradient of cross entropy| by term, one mapping a network.

    Networks, their statistics and the random generators are left as they were; in training mode, which they go to.

    Raises:
        UserError: No image of these batches has a label.
    """
    ratios: list[dict[str, list[float]]] = [{name: [] for name in each.objective.terms} for each in learners]
    with _undisturbed(learners):
        for batch in batches:
            y_B, teacher, mixed = batch.y_B, batch.teacher, batch.mixed
            l_B = counts(y_B, mixed)
            labelled = int((l_B > 0).sum())
            if not labelled:
                continue
            l_B = l_B if labelled < len(y_B) else None
            z_KBC = [learner.forward(batch.x_BCHW) for learner in learners]
            for k, learner in enumerate(learners):
                peers = [z_BC.detach() for other, z_BC in enumerate(z_KBC) if other != k]
                signals = Signals(
                    z_KBC[k],
                    y_B,
                    teacher.t_BC,
                    learner.features,
                    teacher.features,
                    peers or None,
                    l_B=l_B,
                    mixed=mixed,
                )
                hard = _gradients(_cross_entropy(z_KBC[k].float(), y_B, l_B, mixed), learner.parameters)
                for name, loss in learner.objective(signals).items():
                    ratios[k][name].append(_ratio(_gradients(loss, learner.parameters), hard))
    if not all(each for of in ratios for each in of.values()):
        raise UserError(
            "params.yaml, objective: balance compares a term with cross entropy, and no image of the first batches has "
            "a label: give weight in its place"
        )
    return [{name: median(each) for name, each in of.items()} for of in ratios]


def _cross_entropy(z_BC: Tensor, y_B: Tensor, l_B: Tensor | None, mixed: Mixed | None) -> Tensor:
    """As the objective of that name without its settings, whose file is nothing to those who do not use it."""
    if mixed is None:
        return F.cross_entropy(z_BC, y_B, ignore_index=NONE)
    each = partial(F.cross_entropy, z_BC, ignore_index=NONE, reduction="none")
    loss_B = mixed.loss(each(y_B), each(mixed.y_B))
    return (loss_B if l_B is None else l_B * loss_B).mean()


@contextmanager
def _undisturbed(learners: Sequence[Learner]) -> Iterator[None]:
    """Put back what a forward pass in training mode changes besides: BatchNorm's statistics, ranges, generators."""
    modules = [learner.trained for learner in learners]
    kept = [{name: buffer.clone() for name, buffer in each.named_buffers()} for each in modules]
    devices = {parameter.device for learner in learners for parameter in learner.parameters if parameter.is_cuda}
    with torch.random.fork_rng([*devices]):
        for learner in learners:
            learner.train()
        yield
    for module, buffers in zip(modules, kept, strict=True):
        _put_back(module, buffers)


@torch.no_grad()
def _put_back(module: nn.Module, buffers: dict[str, Tensor]) -> None:
    for name, buffer in module.named_buffers():
        buffer.copy_(buffers[name])


def _gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor | None]:
    """For each parameter its gradient; None where the loss does not reach it. None is left at the parameter."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    return [*torch.autograd.grad(loss, learning, retain_graph=True, allow_unused=True)]


def _ratio(term: Sequence[Tensor | None], hard: Sequence[Tensor | None]) -> float:
    """Norm over norm, on the parameters that both reach; infinite where cross entropy has no gradient."""
    both = [(a, b) for a, b in zip(term, hard, strict=True) if a is not None and b is not None]
    own, other = (float(nn.utils.get_total_norm([pair[i] for pair in both])) for i in (0, 1))
    return own / other if other else math.inf


def _weight(name: str, times: float, ratio: float) -> float:
    """What makes a gradient of `ratio` times cross entropy's `times` it."""
    if not LEAST <= ratio < math.inf:
        raise UserError(
            f"params.yaml, objective.{name}.balance: at the start the gradient of {name} is {ratio:.1g} times that of "
            f"cross entropy, and no weight balances less than {LEAST:g} or an infinite one: give weight in its place"
        )
    most = MOST * default_weight(name)
    weight = float(f"{min(times / ratio, most):.{DIGITS}g}")
    reached = "" if weight < most else f", the most that it may be, {weight * ratio:.2g} times where {times:g} is asked"
    log(f"objective.{name}.balance: weight {weight:g}{reached}")
    return weight
