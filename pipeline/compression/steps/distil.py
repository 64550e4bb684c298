"""A fresh network learns from the node before."""

from pipeline.compression.work import Network, Work
from pipeline.planning.specs.compress import TrainStepSpec
from pipeline.training.learn import sized, train


def run(work: Work) -> Network:
    """Train it, by the objective, recipe and architecture of the spec."""
    assert isinstance(work.spec, TrainStepSpec)
    spec = sized(work.spec, work.data)
    assert spec.training.architecture is not None
    (result,) = train(spec, work.data, work.device)
    return Network(result, spec.training.architecture)
