"""The network of the node before learns on: what pruning set to zero stays zero, and grids stay grids."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from pipeline.compression.prune import Masks
from pipeline.compression.work import Network, Work
from pipeline.models.build import unsupplied
from pipeline.models.fake_quantise import fake_quantise
from pipeline.models.files import load_weights
from pipeline.planning.specs.compress import TrainStepSpec
from pipeline.planning.specs.training import TuneSettings
from pipeline.training.learn import train


def run(work: Work) -> Network:
    """Train from the weights of the node before, on grids where the spec gives bits."""
    assert work.previous.architecture is not None
    architecture = unsupplied(work.previous.architecture)
    assert isinstance(work.spec, TrainStepSpec) and isinstance(work.spec.training, TuneSettings)
    training = replace(work.spec.training, architecture=architecture)
    bits = training.bits

    def begin(model: nn.Module) -> Callable[[], None] | None:
        load_weights(model, work.previous.weights, f"the weights of {work.previous.source}")
        if bits:
            fake_quantise(model, bits.weight_bits, bits.activation_bits)
        return Masks.of_zeros(model).keeper(model)

    (result,) = train(replace(work.spec, training=training), work.data, work.device, begin)
    grids: dict[str, Any] = {"grids": bits.as_json()} if bits else {}
    return Network(result, architecture | grids)
