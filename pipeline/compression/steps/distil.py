"""A fresh network learns from the node before."""

from pipeline.compression.work import ChangedNetwork, Work
from pipeline.training.learn import sized, train

MAKES = "fresh"


def run(work: Work) -> ChangedNetwork:
    """Train it, by the objective, recipe and architecture of the spec."""
    spec = sized(work.spec, work.data)
    (result,) = train(spec, work.data, work.device)
    return ChangedNetwork(result, spec["training"]["architecture"])
