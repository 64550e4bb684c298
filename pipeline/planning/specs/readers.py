"""Specs of stages that read nodes and train nothing."""

from dataclasses import dataclass
from typing import Literal

from pipeline.config.select import Select
from pipeline.planning.specs.spec import Code, NodeSpec, SectionValues, Settings, Spec
from pipeline.planning.specs.training import ForwardSettings, LabelSettings


@dataclass(frozen=True, kw_only=True)
class RefinedSpec(NodeSpec):
    """Picks the best of a chain, which its last slot tells."""

    chain: str
    code: Code


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec(NodeSpec):
    """Combines networks.

    Attributes:
        labels: The soft labels to write; where somebody learns from them, the members forward the views.
        forward: How images are shown to them.
        select: The metric on validation that its chain tells; None is accuracy.
    """

    members: tuple[str, ...]
    rule: Literal["probabilities", "logits", "weighted"]
    labels: LabelSettings
    forward: ForwardSettings
    code: Code
    select: Select | None = None


@dataclass(frozen=True, kw_only=True)
class SummarySpec(Spec):
    """Gathers the figures of all networks; `select` is the metric that decides, None accuracy."""

    node: str
    nodes: tuple[str, ...]
    code: Code
    select: Select | None = None


@dataclass(frozen=True, kw_only=True)
class ChainSettings(Settings):
    """A chain, as the report words it."""

    start: str
    generations: int
    patience: int | None


@dataclass(frozen=True, kw_only=True)
class ReportSpec(Spec):
    """Shows all networks, in the order of the lineage, and says how the run was asked for; `select` as of summary."""

    node: str
    nodes: tuple[str, ...]
    chains: dict[str, ChainSettings]
    source: str
    seeds: dict[str, int]
    views: SectionValues
    views_seed: int
    templates: dict[str, str]
    code: Code
    select: Select | None = None
