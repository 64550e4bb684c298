"""An ONNX file of small numbers, from the network of the node before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from pipeline.base.errors import UserError
from pipeline.compression import quantise
from pipeline.compression.costs import CPU
from pipeline.compression.export_onnx import check, export
from pipeline.compression.work import File, Work
from pipeline.models.fake_quantise import calibrate, fake_quantise, freeze
from pipeline.models.grid import Frozen
from pipeline.training.learn import load


def run(work: Work) -> File:
    """Export, then store or compute in the form that is asked for; report how far that moves the answers."""
    assert work.previous.architecture is not None
    form = work.settings["form"]
    learned = work.previous.architecture.get("grids")
    if form == "int8" and learned and (learned["weight_bits"], learned["activation_bits"]) != (8, 8):
        raise UserError(
            f"params.yaml: compress.steps.{work.spec.step}.form is int8, but {work.previous.source} was tuned for "
            f"{learned['weight_bits']} bits (activations: {learned['activation_bits']}): use form: grids, or tune for 8"
        )

    def write(folder: Path) -> dict[str, Any]:
        path = folder / "model.onnx"
        model = load(work.previous, CPU).eval()
        grids = _grids(model, work, on_grids=bool(learned))
        export(model, path, work.card)
        _quantise(path, form, work, grids)
        return {"form": form, "against_torch": check(path, model, work.data.test.images)}

    return File(write)


def _grids(model: nn.Module, work: Work, *, on_grids: bool) -> Mapping[str, Frozen]:
    """Put the network on its final grids, where it has some or is to have some, in place."""
    if on_grids:
        return freeze(model)
    if work.settings["form"] != "grids":
        return {}
    fake_quantise(model, work.settings["weight_bits"], work.settings.get("activation_bits"))
    calibrate(model, (x_BCHW.cpu() for x_BCHW in work.batches(work.settings["batches"])))
    return freeze(model.eval())


def _quantise(path: Path, form: str, work: Work, grids: Mapping[str, Frozen]) -> None:
    match form:
        case "int8":
            batches = work.batches(work.settings["batches"], normalised=False)
            pixels_NCHW = np.concatenate([x_BCHW.cpu().numpy() for x_BCHW in batches])
            quantise.static(path, path, pixels_NCHW, method=work.settings["calibration"], grids=grids)
        case "grids":
            quantise.store_frozen(path, path, grids)
        case "int8_weights" | "int4_weights":
            quantise.store_weights(path, path, "int8" if form == "int8_weights" else "int4")
        case "float16" | "bfloat16":
            quantise.store_weights(path, path, form)
