"""A fresh network learns from the node before."""

from pipeline.compression.work import Network, Work
from pipeline.training.learn import sized, train

MAKES = "fresh"


def run(work: Work) -> Network:
    """Train it, by the objective, recipe and architecture of the spec."""
    spec = sized(work.spec, work.data)
    (result,) = train(spec, work.data, work.device)
    return Network(result, spec["training"]["architecture"])
