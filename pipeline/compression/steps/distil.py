"""A fresh network learns from the node before."""

from pipeline.compression.work import ChangedNetwork, Work
from pipeline.planning.specs.compress import TrainStepSpec
from pipeline.training.learn import sized, train

MAKES = "fresh"


def run(work: Work) -> ChangedNetwork:
    """Train it, by the objective, recipe and architecture of the spec."""
    assert isinstance(work.spec, TrainStepSpec)
    spec = sized(work.spec, work.data)
    assert spec.training.architecture is not None
    (result,) = train(spec, work.data, work.device)
    return ChangedNetwork(result, spec.training.architecture)
