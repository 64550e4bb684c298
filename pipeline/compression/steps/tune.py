"""The network of the node before learns on: what pruning set to zero stays zero, and grids stay grids."""

from collections.abc import Callable
from typing import Any

from torch import nn

from pipeline.compression.prune import Masks
from pipeline.compression.work import ChangedNetwork, Work
from pipeline.models.build import unsupplied
from pipeline.models.fake_quantise import fake_quantise
from pipeline.models.files import load_weights
from pipeline.training.learn import train


def run(work: Work) -> ChangedNetwork:
    """Train from the weights of the node before, on grids where the spec gives bits."""
    assert work.previous.architecture is not None
    architecture = unsupplied(work.previous.architecture)
    training = {**work.spec["training"], "architecture": architecture}
    bits = training["bits"]

    def init_weights(model: nn.Module) -> Callable[[], None] | None:
        load_weights(model, work.previous.weights, f"the weights of {work.previous.source}")
        if bits:
            fake_quantise(model, bits["weight_bits"], bits["activation_bits"])
        return Masks.of_zeros(model).keeper(model)

    (result,) = train({**work.spec, "training": training}, work.data, work.device, init_weights)
    grids: dict[str, Any] = {"grids": bits} if bits else {}
    return ChangedNetwork(result, architecture | grids)
