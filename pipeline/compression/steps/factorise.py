"""Layers become two thinner ones each."""

from dataclasses import asdict

from pipeline.compression.factorise import factorise
from pipeline.compression.work import ChangedNetwork, Work, changed


def run(work: Work) -> ChangedNetwork:
    """Factorise the network of the node before; report each layer's rank and reconstruction error."""
    model, layers = factorise(work.model(), **work.of_images, **work.settings)
    return changed(work, model, {"layers": [asdict(layer) for layer in layers]})
