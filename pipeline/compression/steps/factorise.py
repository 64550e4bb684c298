"""Layers become two thinner ones each."""

from dataclasses import asdict
from typing import Any

from pipeline.compression.factorise import factorise
from pipeline.compression.work import ChangedNetwork, Work, changed
from pipeline.config.numbers import Count, Share, Target
from pipeline.models.attention import open_attention

MAKES = "changed"


def check(settings: dict[str, Any]) -> str | None:
    """One target says how thin."""
    from pipeline.config.section import one_of

    return one_of(settings, "rank", "energy", "parameters", "flops")


def run(
    work: Work,
    *,
    rank: Count | None = None,
    energy: Share | None = None,
    parameters: Target | None = None,
    flops: Target | None = None,
    layers: tuple[str, ...] | None = None,
) -> ChangedNetwork:
    """Factorise the network of the node before; report each layer's rank and reconstruction error."""
    target: dict[str, Any] = {"rank": rank, "energy": energy, "parameters": parameters, "flops": flops}
    model, found = factorise(open_attention(work.model()), **work.of_images, **target, layers=layers)
    return changed(work, model, {"layers": [asdict(layer) for layer in found]})
