"""What each network of a stage is fed: given in params.yaml, else that of its pretrained weights, else of the data."""

import importlib
from collections.abc import Mapping
from typing import Any

from pipeline.config.input import Input, complete
from pipeline.console.progress import log
from pipeline.data.prepared import Prepared


def supplied(data: Prepared, input: Input | None) -> dict[str, int]:
    """What a network is built with besides its settings: channels and edge of its images, and its classes."""
    return {"channels": data.channels, "size": input.size if input else data.size, "classes": len(data.classes)}


def of_data(data: Prepared) -> Input:
    """The input that prepared images have."""
    return Input(data.size, data.mean, data.std)


def resolved(
    node: str, architecture: Mapping[str, Any], given: Mapping[str, Any] | None, data: Prepared, imported: bool = False
) -> Input | None:
    """The input of a network; None where it is that of the data. A size above that of the data is logged.

    Args:
        node: Its node.
        given: What params.yaml says of it.
        imported: Whether its weights come from a file: they were trained as the family's own were, unless params.yaml
            says otherwise.

    Raises:
        UserError: The family knows no such network; means are given of other channels than the images have.
    """
    configured: dict[str, Any] = {}
    if imported or architecture.get("pretrained"):
        # By name, so that only a stage that has such a network depends on its family's code.
        family = importlib.import_module(f"pipeline.models.{architecture['family']}")
        if hasattr(family, "configured"):
            configured = family.configured(architecture)
    found = complete(of_data(data), configured, given or {}, f"params.yaml, {node.split('/')[0]}.input")
    if found and found.size > data.edge:
        key = "data.size" if data.rendering(None) is None else "data.store_size"
        log(
            f"{node}: its input of {found.size} pixels is larger than the prepared images of {data.edge}, which are "
            f"enlarged for it: {key} keeps more of each image"
        )
    return found
