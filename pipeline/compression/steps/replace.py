"""Convolutions give way to cheap ones that have learned to imitate them."""

from dataclasses import asdict

from pipeline.compression.replace import replace
from pipeline.compression.work import ChangedNetwork, Work, changed


def run(work: Work) -> ChangedNetwork:
    """Replace layer by layer, each fitted on the network as it is by then; report how near the imitations are."""
    settings, model = work.settings, work.model()
    layers = []
    for layer in settings["layers"]:
        batches = list(work.batches(settings["batches"]))
        model, imitation = replace(model, batches, layer=layer, groups=settings.get("groups"), lr=settings["lr"])
        layers.append(asdict(imitation))
    return changed(work, model, {"layers": layers})
