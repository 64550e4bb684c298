"""Whether an objective suits what it is trained on: the number of classes, and the form of the stored labels."""

import torch
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.config.extension import OBJECTIVES
from pipeline.console.progress import log
from pipeline.labels.store import Labels
from pipeline.lineage.node import Node
from pipeline.objectives.compose import Objective, Signals
from pipeline.planning.specs.training import TermSettings, TrainingSpec

ROWS = 8
LEAST = 1e-4  # of cross entropy's gradient: what is below is rounding


def check_classes(spec: TrainingSpec, classes: int) -> None:
    """Say what of a term is left with two classes, where that is not all of it.

    Raises:
        UserError: A term on logits has no gradient with so many classes.
    """
    for name, settings in spec.training.objective.items():
        if not _has_gradient({name: settings}, classes):
            raise UserError(
                f"{spec.node}: objective.{name} has no gradient with {classes} classes and these settings, so nothing "
                f"is learned from it: take it out, or take soft_targets in its place"
            )
        if classes == 2 and (left := OBJECTIVES.constant(name, "TWO_CLASSES")):
            log(f"{spec.node}: objective.{name} with two classes: {left}")


def tell_of_clean(spec: TrainingSpec, teacher: Node) -> None:
    """Say so where a label of a view is that of the clean image: the crop may not show what it names."""
    if teacher.labels_of == "clean":
        log(
            f"{spec.node}: {teacher.source} has answered clean images only: each view has the label of its clean "
            "image, whatever the crop shows (teacher.answers.for_views: clean)"
        )


def warn_of_tail(spec: TrainingSpec, labels: Labels) -> None:
    """Say so where a term asks for what the labels do not hold: a temperature above 1, or the logits themselves."""
    kept = labels.header.format.k
    if kept is None or labels.header.format.rank is not None:
        return
    hottest = max(term.get("temperature", 1.0) for term in spec.training.objective.values())
    asked = [
        f"for {name}, which compares logits,"
        for name in spec.training.objective
        if OBJECTIVES.constant(name, "RAW_LOGITS")
    ]
    asked += [f"at {hottest:g}"] if hottest > 1 else []
    if asked:
        log(
            f"{spec.node}: labels.kind topk keeps {kept} of {len(labels.header.classes)} logits and the probability "
            f"of the rest at temperature 1; {' and '.join(asked)} that can cost accuracy, which dense does not"
        )


def _has_gradient(objective: TermSettings, classes: int) -> bool:
    """Whether a term on logits has one, on random ones; a term on layers counts as having one."""
    (name,) = objective
    if "student" in OBJECTIVES.needs(name):
        return True
    drawn = torch.Generator().manual_seed(0)
    z_BC, t_BC = (torch.randn(ROWS, classes, generator=drawn) for _ in range(2))
    y_B = torch.arange(ROWS) % classes
    z_BC.requires_grad_()
    with torch.random.fork_rng([]):  # of terms that draw
        (loss,) = Objective(objective)(Signals(z_BC, y_B, t_BC, peers=[t_BC])).values()
    own, other = (torch.autograd.grad(each, z_BC)[0].norm() for each in (loss, F.cross_entropy(z_BC, y_B)))
    return bool(own > LEAST * other)
