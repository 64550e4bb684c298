"""From the `architecture` of params.yaml, or of a node, to a network."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from pipeline import schema
from pipeline.errors import UserError
from pipeline.sections.base import unknown

SUPPLIED = frozenset({"channels", "size", "classes"})


def build(architecture: Mapping[str, Any], *, channels: int, size: int, classes: int) -> nn.Module:
    """A freshly initialised network: (B, channels, size, size) images in, (B, classes) logits out.

    `architecture` is `{family: <a file of this folder>, <settings of that file's build>}`. The network
    has `taps`: names of the submodules at the ends of its resolution stages, then of the one that gives
    the flat features (B, D) which its last linear layer reads. Initial weights are drawn from torch's
    global generator.
    """
    folder = Path(__file__).parent
    settings = dict(architecture)
    family = settings.pop("family", None)
    families = schema.available(folder, "build")
    if family not in families:
        raise UserError(f"params.yaml, architecture.family: {unknown('family', str(family), families)}")
    where = "params.yaml, architecture"
    settings = schema.complete(folder / f"{family}.py", "build", settings, where, SUPPLIED)
    module = importlib.import_module(f"pipeline.models.{family}")
    return module.build(channels=channels, size=size, classes=classes, **settings)


def rebuild(architecture: Mapping[str, Any]) -> nn.Module:
    """The network of a node, from the `architecture` of its node.json, where channels, size and classes stand.

    Its weights come from the node, so pretrained ones are not sought again.
    """
    settings = {key: value for key, value in architecture.items() if key not in SUPPLIED}
    if "pretrained" in settings:
        settings["pretrained"] = False
    return build(settings, **{key: architecture[key] for key in SUPPLIED})
