"""Specs of stages that read nodes and train nothing."""

from dataclasses import dataclass
from typing import Literal

from pipeline.planning.specs.spec import Code, NodeSpec, SectionValues, Settings, Spec


@dataclass(frozen=True, kw_only=True)
class RefinedSpec(NodeSpec):
    """Picks the best of a chain, which its last slot tells."""

    chain: str
    code: Code


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec(NodeSpec):
    """Combines networks; `teaches`: whether somebody learns from its labels of views."""

    members: tuple[str, ...]
    teaches: bool
    rule: Literal["probabilities", "logits", "weighted"]
    views: SectionValues
    views_seed: int
    code: Code


@dataclass(frozen=True, kw_only=True)
class SummarySpec(Spec):
    """Gathers the figures of all networks."""

    node: str
    nodes: tuple[str, ...]
    code: Code


@dataclass(frozen=True, kw_only=True)
class ChainSettings(Settings):
    """A chain, as the report words it."""

    start: str
    generations: int
    patience: int | None


@dataclass(frozen=True, kw_only=True)
class ReportSpec(Spec):
    """Shows all networks, in the order of the lineage, and says how the run was asked for."""

    node: str
    nodes: tuple[str, ...]
    chains: dict[str, ChainSettings]
    source: str
    seeds: dict[str, int]
    views: SectionValues
    views_seed: int
    templates: dict[str, str]
    code: Code
