"""Numbers of a training that are not finite are found once an epoch, and traced to where they came from.

Legend: S steps of an epoch, K networks, L losses (their weighted total first, and last the gradient's largest entry).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.training.batch import Batch
from pipeline.training.checkpoint import Position

Batches = Callable[[int], Iterator[Batch]]


def check_finite(
    losses_SKL: Tensor, trained: nn.Module, names: Sequence[Sequence[str]], at: Position, batches: Batches, view: int
) -> None:
    """Find the first number that is not finite: its step, and whether a term, the gradient or a weight has it.

    Args:
        losses_SKL: Of the steps of this epoch.
        trained: Networks and adapters.
        names: Of the losses of each network, without the gradient.
        at: Where training stands.
        batches: The batches of this epoch from a step on: what the teacher gave is asked for again.
        view: The view of this epoch.

    Raises:
        UserError: There is one.
    """
    floating = {name: tensor for name, tensor in trained.state_dict().items() if tensor.is_floating_point()}
    # One number for all of them: the host waits for each that it asks for.
    if torch.stack([each.isfinite().all() for each in (losses_SKL, *floating.values())]).all():
        return
    wrong_SKL = ~torch.isfinite(losses_SKL)
    if wrong_SKL.any():
        step, k = (int(index) for index in wrong_SKL.any(2).nonzero()[0])
        _check_teacher(batches, step, at, view)
        wrong = [name for name, bad in zip((*names[k], "gradient"), wrong_SKL[step, k].tolist(), strict=False) if bad]
        terms = [name for name in wrong if name not in ("loss", "gradient")]
        what = "gradient" if wrong == ["gradient"] else "loss"
        where = "" if what == "gradient" else f" ({', '.join(terms) or 'the total'})"
        raise UserError(
            f"the {what} is not finite at epoch {at.epoch + 1}, step {step + 1}{where}: "
            "lower recipe.lr, set recipe.clip, or check the data"
        )
    for name, tensor in floating.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{name} is not finite at the end of epoch {at.epoch + 1}, step {at.step}: "
                "lower recipe.lr or set recipe.clip"
            )


def _check_teacher(batches: Batches, step: int, at: Position, view: int) -> None:
    """Name the sample of a step's batch for which the teacher gives a logit that is not finite."""
    batch = next(batches(step))
    t_BC = batch.teacher.t_BC
    if t_BC is None or t_BC.isfinite().all():
        return
    row = int(batch.rows.host_B[int((~t_BC.isfinite()).any(1).nonzero()[0])])
    raise UserError(
        f"the teacher gives row {row} of view {view} a logit that is not finite (epoch {at.epoch + 1}, "
        f"step {step + 1}): its weights are broken, train it with a lower recipe.lr or set recipe.clip"
    )
