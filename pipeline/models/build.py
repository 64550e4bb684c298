"""From the `architecture` of params.yaml, or of a node, to a network."""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from pipeline.base.errors import UserError
from pipeline.config.extension import FAMILIES
from pipeline.config.section import unknown

SUPPLIED = FAMILIES.supplied  # by the data
# What compression makes of a plain network: the module that does it again, and the function there.
COMPRESSED = {
    "surgery": ("pipeline.models.surgery", "rebuild"),
    "grids": ("pipeline.models.fake_quantise", "put_on_grids"),
}


def build(architecture: Mapping[str, Any], *, channels: int, size: int, classes: int) -> nn.Module:
    """A freshly initialised network: (B, channels, size, size) images in, (B, classes) logits out.

    `architecture` is `{family: <a file of this folder>, <settings of that file's build>}`. The network
    has `taps`: names of the submodules at the ends of its resolution stages, then of the one that gives
    the flat features (B, D) which its last linear layer reads. Initial weights are drawn from torch's
    global generator. A compressed network's `surgery` and `grids` are made again.
    """
    settings = {key: value for key, value in architecture.items() if key not in COMPRESSED}
    if "family" not in settings:
        raise UserError(f"params.yaml, architecture.family is missing: name one of {', '.join(FAMILIES.names())}")
    family = str(settings.pop("family"))
    if family not in (families := FAMILIES.names()):
        raise UserError(f"params.yaml, architecture.family: {unknown('family', family, families)}")
    settings = FAMILIES.complete(family, settings, "params.yaml, architecture")
    module = importlib.import_module(f"pipeline.models.{family}")
    model = module.build(channels=channels, size=size, classes=classes, **settings)
    for key, (name, function) in COMPRESSED.items():
        if key in architecture:
            # By name, so that only stages that compress depend on this code.
            model = getattr(importlib.import_module(name), function)(model, architecture[key])
    return model


def rebuild(architecture: Mapping[str, Any]) -> nn.Module:
    """The network of a node, from the `architecture` of its node.json, where channels, size and classes stand.

    Its weights come from the node, so pretrained ones are not sought again.
    """
    return build(unsupplied(architecture), **{key: architecture[key] for key in SUPPLIED})


def unsupplied(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A node's architecture as params.yaml would give it, without what the data supplies; weights are not sought."""
    settings = {key: value for key, value in architecture.items() if key not in SUPPLIED}
    return settings | {"pretrained": False} if "pretrained" in settings else settings
