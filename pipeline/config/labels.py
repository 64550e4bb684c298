"""The `labels` section: how much of a teacher's logits is kept."""

from typing import ClassVar, Literal

from pipeline.config.effect import Needs
from pipeline.config.numbers import Amount, Count
from pipeline.config.section import Section


class LabelsSection(Section):
    """Distinct views, and the form of what is stored of them; `auto` is dense up to 256 classes, top-k above.

    `lowrank` has k values as top-k has them, and the others by the principal components of the logits.

    With `views: null` they are as many as the longest student of a node has epochs, of those that `max_bytes` holds.
    """

    NEEDS: ClassVar[Needs] = {"k": {"kind": ("auto", "topk", "lowrank")}, "rank": {"kind": ("lowrank",)}}

    views: Count | None = None
    max_bytes: Amount = 4_000_000_000
    kind: Literal["auto", "dense", "topk", "lowrank"] = "auto"
    k: Amount | None = None
    rank: Amount | None = None
    batch_size: Amount | None = None
