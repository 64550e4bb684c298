"""Specs of stages that compute nothing: what they leave is a pointer, or a note that there is nothing."""

from dataclasses import dataclass
from typing import Literal

from pipeline.planning.specs.spec import Code, NodeSpec


@dataclass(frozen=True, kw_only=True)
class CarrySpec(NodeSpec):
    """A slot beyond the asked length stands for the node before it."""

    action: Literal["carry"] = "carry"
    previous: str
    code: Code


@dataclass(frozen=True, kw_only=True)
class SkipSpec(NodeSpec):
    """A method that params.yaml does not name, or a node of a part that is off."""

    action: Literal["skip"] = "skip"
    code: Code
