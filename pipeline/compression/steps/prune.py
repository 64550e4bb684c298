"""Weights or filters go, the least important first. What is left is not tuned here: a later step does that."""

from typing import Any, Literal

from pipeline.compression.filters import shrink
from pipeline.compression.prune import magnitude
from pipeline.compression.work import ChangedNetwork, Work, changed
from pipeline.config.numbers import Count, Share, Target
from pipeline.evaluation import cost
from pipeline.models.attention import open_attention

MAKES = "changed"
NEEDS = {"rounds": {"what": ["filters"]}, "scope": {"what": ["weights"]}}


def check(settings: dict[str, Any]) -> str | None:
    """One target says how far; of single weights only a share can be asked."""
    from pipeline.config.section import one_of

    if sentence := one_of(settings, "sparsity", "parameters", "flops"):
        return sentence
    if settings["what"] == "weights" and settings["sparsity"] is None:
        return "what is weights, which change neither parameters nor flops: give sparsity"
    return None


def run(
    work: Work,
    *,
    what: Literal["filters", "weights"] = "filters",
    sparsity: Share | None = None,
    parameters: Target | None = None,
    flops: Target | None = None,
    rounds: Count = 1,
    scope: Literal["global", "layer"] = "global",
) -> ChangedNetwork:
    """Prune the network of the node before."""
    model = work.model()
    if what == "weights":
        assert sparsity is not None
        open_attention(model)
        masks = magnitude(model, sparsity=sparsity, scope=scope)
        masks.enforce(model)
        return changed(work, model, {"sparsity": masks.sparsity})
    small = shrink(model, **work.of_images, sparsity=sparsity, parameters=parameters, flops=flops, rounds=rounds)
    return changed(
        work,
        small,
        {
            "parameters_kept": cost.parameters(small) / cost.parameters(model),
            "flops_kept": cost.flops(small, **work.of_images) / cost.flops(model, **work.of_images),
        },
    )
