"""Whether a network that is loaded answers as it did when its predictions were stored.

Its code may have changed since, where it is no code of ours: another version of timm, another file of the user's.

Legend: N images, C classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.data.pictures import clean
from pipeline.data.prepared import Prepared
from pipeline.data.views import normalise
from pipeline.labels.labeller import evaluation_batch, forward_fixed
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.libraries import versions
from pipeline.models.shown import Shown
from pipeline.training.device import Device
from pipeline.training.inputs import supplied

IMAGES = 8
# Of the largest logit, what an answer may differ by: on the same device in the same precision; where both compute in
# float32; and where one of them has fewer bits, or it is not known what computed.
SAME, FLOAT32, OTHER = 1e-4, 1e-3, 0.1


def made_by(architecture: Mapping[str, Any], device: Device) -> dict[str, str] | None:
    """What a node records of what built it and computed its predictions; None where all code is ours."""
    libraries = versions([architecture])
    if not libraries and architecture.get("family") != "own":
        return None
    now = device.describe()
    return {key: str(now[key]) for key in ("device", "precision", "torch")} | libraries


def check_answers(of: Node, model: nn.Module, data: Prepared, device: Device) -> None:
    """Compare a loaded network's logits of the first validation images with the stored ones; it is left in eval mode.

    Raises:
        UserError: They differ by more than the bounds above.
    """
    if "predictions" not in of.provides or of.architecture is None:
        return
    stored_NC = read_predictions(of)["validation"][:IMAGES]
    images = clean(data.validation.images, data.rendering(of.input))[: len(stored_NC)]
    pixels = torch.from_numpy(images.copy()).to(device.where)
    shown = Shown([of.input], data.mean, data.std, device.where, data.rendering(None))
    forward = device.forward(model.eval(), shown.to(of.input))
    # In float32 other batches move the last bits only; else the passes must be those of the predictions.
    size = len(pixels)
    if device.compute_type != "float32" or device.tf32:
        size = evaluation_batch(model, data.channels, supplied(data, of.input)["size"])
    with torch.no_grad():
        found_NC = forward_fixed(forward, normalise(pixels, shown.mean_C, shown.std_C), size).cpu()
    if found_NC.shape != stored_NC.shape:
        raise UserError(
            f"{of.folder} has predictions of {stored_NC.shape[1]} classes and its network gives {found_NC.shape[1]}: "
            f"delete {of.folder} and run `dvc repro`"
        )
    before, now = of.made_by or {}, made_by(of.architecture, device) or {}
    bound = _bound(before, now)
    largest = float(stored_NC.abs().max())
    difference = float((found_NC - stored_NC).abs().max())
    if difference <= bound * largest:
        return
    changed = [f"{name} was {was}, is {now.get(name)}" for name, was in before.items() if now.get(name) != was]
    raise UserError(
        f"{of.source} does not answer as when it was made: a logit of {len(stored_NC)} validation images differs by "
        f"{difference / largest:.2g} of the largest, where {bound:g} is allowed "
        f"({', '.join(changed) or 'in the same versions'}): "
        f"use what it was made with, or delete {of.folder} and run `dvc repro`"
    )


def _bound(before: Mapping[str, str], now: Mapping[str, str]) -> float:
    if not before:
        return OTHER
    precisions = {before.get("precision"), now.get("precision")}
    if len(precisions) == 1 and before.get("device") == now.get("device"):
        return SAME
    return FLOAT32 if precisions == {"float32"} else OTHER
