"""Weights or filters go, the least important first. What is left is not tuned here: a later step does that."""

from pipeline.compression.filters import shrink
from pipeline.compression.prune import magnitude
from pipeline.compression.work import ChangedNetwork, Work, changed
from pipeline.evaluation import cost


def run(work: Work) -> ChangedNetwork:
    """Prune the network of the node before."""
    settings, model = work.settings, work.model()
    if settings["what"] == "weights":
        masks = magnitude(model, sparsity=settings["sparsity"], scope=settings["scope"])
        masks.enforce(model)
        return changed(work, model, {"sparsity": masks.sparsity})
    target = {name: settings[name] for name in ("sparsity", "parameters", "flops") if name in settings}
    small = shrink(model, **work.of_images, **target, rounds=settings["rounds"])
    return changed(
        work,
        small,
        {
            "parameters_kept": cost.parameters(small) / cost.parameters(model),
            "flops_kept": cost.flops(small, **work.of_images) / cost.flops(model, **work.of_images),
        },
    )
