"""Convolutions give way to cheap ones that have learned to imitate them."""

from dataclasses import asdict
from typing import Annotated

from pydantic import Field

from pipeline.compression.replace import replace
from pipeline.compression.work import ChangedNetwork, Work, changed
from pipeline.config.numbers import Count, Positive

MAKES = "changed"


def run(
    work: Work,
    *,
    layers: Annotated[tuple[str, ...], Field(min_length=1)],
    groups: Count | None = None,
    batches: Annotated[int, Field(strict=True, ge=2, le=100_000)] = 200,
    lr: Positive = 0.003,
) -> ChangedNetwork:
    """Replace layer by layer, each fitted on the network as it is by then; report how near the imitations are.

    batches: of training views, one a step of fitting.
    """
    model, imitations = work.model(), []
    for layer in layers:
        views = list(work.batches(batches))
        model, imitation = replace(model, views, layer=layer, groups=groups, lr=lr)
        imitations.append(asdict(imitation))
    return changed(work, model, {"layers": imitations})
