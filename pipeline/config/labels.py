"""The `labels` section: how much of a teacher's logits is kept."""

from typing import ClassVar, Literal

from pipeline.config.effect import Needs
from pipeline.config.numbers import Count
from pipeline.config.section import Section


class LabelsSection(Section):
    """Views stored beside the clean one, and their form; `auto` is dense up to 256 classes, top-k above."""

    NEEDS: ClassVar[Needs] = {"k": {"kind": ("auto", "topk")}}

    views: Count = 20
    kind: Literal["auto", "dense", "topk"] = "auto"
    k: Count | None = None
    batch_size: Count | None = None
