"""The network of the node before learns on: what pruning set to zero stays zero, and grids stay grids."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from pipeline.compression.prune import Masks
from pipeline.compression.work import ChangedNetwork, Work
from pipeline.config.numbers import Bits
from pipeline.lineage.node import checked_weights
from pipeline.models.build import unsupplied
from pipeline.models.fake_quantise import fake_quantise
from pipeline.models.files import load_weights
from pipeline.planning.specs.compress import TrainStepSpec
from pipeline.training.learn import train

MAKES = "tuned"
# Grids for inputs alone are of no use to any file that we write.
NEEDS = {"activation_bits": {"weight_bits": None}}


def run(work: Work, *, weight_bits: Bits | None = None, activation_bits: Bits | None = None) -> ChangedNetwork:
    """Train from the weights of the node before; with bits on grids (quantisation-aware training)."""
    assert work.previous.architecture is not None
    architecture = unsupplied(work.previous.architecture)
    assert isinstance(work.spec, TrainStepSpec)
    input = work.previous.input
    training = replace(work.spec.training, architecture=architecture, input=input and input.as_json())

    def init_weights(model: nn.Module) -> Callable[[], None] | None:
        load_weights(model, checked_weights(work.previous), f"the weights of {work.previous.source}")
        if weight_bits:
            fake_quantise(model, weight_bits, activation_bits)
        return Masks.of_zeros(model).keeper(model)

    (result,) = train(replace(work.spec, training=training), work.data, work.device, init_weights)
    grids = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    return ChangedNetwork(result, architecture | ({"grids": grids} if weight_bits else {}))
