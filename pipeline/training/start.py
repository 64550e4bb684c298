"""Weights of a file that params.yaml names: what a network begins with, or is.

Legend: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.console.progress import log
from pipeline.evaluation.metrics import accuracy
from pipeline.models.fit import fit, last_layer
from pipeline.models.net import renew
from pipeline.models.tensors import read_safetensors
from pipeline.training.chance import guessing
from pipeline.training.given import given_file
from pipeline.training.inputs import of_data

if TYPE_CHECKING:
    from pipeline.config.input import Input
    from pipeline.data.prepared import Prepared
    from pipeline.planning.specs.training import WeightsFile


def begin(model: nn.Module, given: WeightsFile, classes: Sequence[str], key: str = "initial") -> bool:
    """Fill `model` from the file; its last layer is drawn anew where a new one is asked for.

    Returns whether its classes were found by their names.

    classes: Of the data, in the order of the logits. key: of params.yaml, for messages.

    Raises:
        UserError: There is no such file, it is not the one whose hash is given, or does not fit.
    """
    path = given_file(given.file, given.sha256, key)
    held = read_safetensors(path)
    names = given.classes or held.classes
    fitted = fit(model, held.tensors, f"{key}: {path}", classes=classes, names=names, head=given.head or "own")
    model.load_state_dict(fitted.tensors, strict=False)
    if given.head == "new":
        name = last_layer(model)
        assert name is not None
        renew(model.get_submodule(name))
    log(f"{key}: {given.file} ({given.sha256[:8]}){''.join(f'; {note}' for note in fitted.notes)}")
    return fitted.named


def check_reached(given: WeightsFile, z_NC: Tensor, data: Prepared, input: Input | None, named: bool) -> None:
    """Print the accuracy of imported weights on validation, whose logits are z_NC.

    named: whether its classes were found by their names.

    Raises:
        UserError: It is below what is expected of them, or not above guessing.
    """
    labels_N = data.validation.labels
    reached, bound = accuracy(z_NC, torch.from_numpy(labels_N.copy())), guessing(labels_N)
    log(f"teacher.weights: {100 * reached:.1f} % of the validation images are right")
    if given.expect is not None and reached < given.expect:
        why = f"where teacher.weights.expect is {given.expect:g}"
    elif reached <= bound < 1:
        why = f"which is not above guessing (up to {100 * bound:.1f} %)"
    else:
        return
    order = "found by their names" if named else "not given, so that it is taken to be the data's"
    raise UserError(
        f"teacher.weights: the imported network is right for {100 * reached:.1f} % of {len(labels_N)} validation "
        f"images, {why}: look at its normalisation and size (teacher.input: it is fed "
        f"{(input or of_data(data)).words()}) and at the order of its classes (teacher.weights.classes: {order})"
    )
