"""An ONNX file of small numbers, from the network of the node before."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from pipeline.base.errors import UserError
from pipeline.compression import quantise
from pipeline.compression.costs import CPU
from pipeline.compression.export_onnx import check as check_file
from pipeline.compression.export_onnx import export
from pipeline.compression.merge import merged
from pipeline.compression.onnx_file import read_onnx
from pipeline.compression.runtime import Runtime
from pipeline.compression.sweep import JUDGED, answers, nodes_of, swept
from pipeline.compression.work import BATCH, ShippedFile, Work
from pipeline.config.numbers import Bits, Count
from pipeline.console.progress import log
from pipeline.models.fake_quantise import calibrate, fake_quantise, freeze
from pipeline.models.grid import Frozen

MAKES = "file"
MUCH = 0.02  # of the answers changed: there may be a layer that int8 does not suit
NEEDS = {
    "keep": {"form": ["int8"]},
    "calibration": {"form": ["int8"]},
    "batches": {"form": ["int8"], "activation_bits": None},
    "activation_bits": {"weight_bits": None},
}


def check(settings: dict[str, Any]) -> str | None:
    """Bits belong to one form."""
    form = settings["form"]
    if form != "grids" and settings["weight_bits"]:
        return f".weight_bits is given, but form is {form}: use form: grids"
    return None


def check_place(settings: dict[str, Any], shipped: str | None, grids: str | None) -> str | None:
    """Grids that were trained for are kept, and bits are given once."""
    form, bits = settings["form"], settings["weight_bits"]
    if grids and settings["keep"]:
        return f".keep: {grids!r} before it trains every layer for its grid: leave it out"
    if grids and form not in ("int8", "grids"):
        return f".form is {form}, but {grids!r} trains for grids: use int8 or grids"
    if form == "grids" and grids and bits:
        return f".weight_bits: {grids!r} before it has its own bits: leave them out"
    if form == "grids" and not grids and not bits:
        return "form is grids, but no tuning on grids comes before it: give weight_bits"
    return None


def run(
    work: Work,
    *,
    form: Literal["int8", "float16", "bfloat16", "int8_weights", "int4_weights", "grids"] = "int8",
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax",
    batches: Count = 8,
    keep: Literal["auto"] | list[str] | None = None,
    weight_bits: Bits | None = None,
    activation_bits: Bits | None = None,
) -> ShippedFile:
    """Export, then store or compute in the form that is asked for; report how far that moves the answers.

    `int8` computes in whole numbers, with ranges calibrated on training views; the layers that `keep` names stay float,
    or those that a sweep finds. `grids` has the bits of the tuning before it, or finds its grids after training (with
    weight_bits and activation_bits); it computes in float32, as do the forms that only store small weights.
    """
    assert work.previous.architecture is not None
    learned = work.previous.architecture.get("grids")
    if form == "int8" and learned and (learned["weight_bits"], learned["activation_bits"]) != (8, 8):
        raise UserError(
            f"params.yaml: compress.steps.{work.spec.step}.form is int8, but {work.previous.source} was tuned for "
            f"{learned['weight_bits']} bits (activations: {learned['activation_bits']}): use form: grids, or tune for 8"
        )

    def on_grids(model: nn.Module) -> Mapping[str, Frozen]:
        """Put the network on its final grids, where it has some or is to have some, in place."""
        if not learned:
            if weight_bits is None:
                return {}
            fake_quantise(model, weight_bits, activation_bits)
            calibrate(model, (x_BCHW.cpu() for x_BCHW in work.batches(batches)))
        return freeze(model.eval())

    def network() -> tuple[nn.Module, int]:
        return (work.model(CPU), 0) if learned else merged(work.model(CPU), **work.of_images)

    def write(folder: Path) -> dict[str, Any]:
        path = folder / "model.onnx"
        model, blocks = network()
        grids = on_grids(model)
        export(model, path, work.card)
        report = {"form": form, **({"merged": blocks} if blocks else {})}
        match form:
            case "int8":
                return report | _int8(path, model, grids)
            case "grids":
                quantise.store_frozen(path, path, grids)
            case "int8_weights" | "int4_weights":
                quantise.store_weights(path, path, "int8" if form == "int8_weights" else "int4")
            case "float16" | "bfloat16":
                quantise.store_weights(path, path, form)
        return {**report, "against_torch": check_file(path, model, work.images("test"))}

    def _int8(path: Path, model: nn.Module, grids: Mapping[str, Frozen]) -> dict[str, Any]:
        pixels_NCHW = np.concatenate([x_BCHW.cpu().numpy() for x_BCHW in work.batches(batches, normalised=False)])
        size = Runtime(path).images_a_pass
        how: dict[str, Any] = {"method": calibration, "batch_size": min(BATCH, 1 << size.bit_length() - 1)}
        report: dict[str, Any] = {}
        names: Sequence[str] = [] if keep is None or keep == "auto" else keep
        if keep == "auto":
            fewer_NCHW = pixels_NCHW[:JUDGED]
            found = swept(
                path,
                pixels_NCHW,
                lambda out, only, without: quantise.static(
                    path, out, fewer_NCHW if only else pixels_NCHW, only=only, without=without, **how
                ),
            )
            names = found.kept
            report["sweep"] = asdict(found)
        seen_NCHW = pixels_NCHW[: 4 * JUDGED]
        before_N = answers(path, seen_NCHW).argmax(1)
        without = nodes_of(read_onnx(path)[0], names, f"compress.steps.{work.spec.step}.keep")
        quantise.static(path, path, pixels_NCHW, grids=grids, without=without, **how)
        if keep is None and (changed := float((answers(path, seen_NCHW).argmax(1) != before_N).mean())) > MUCH:
            log(
                f"int8 changes the answer to {100 * changed:.1f} % of {len(seen_NCHW)} training views: keep: auto "
                "finds layers to leave in float"
            )
        return {**report, "kept": [*names], "against_torch": check_file(path, model, work.images("test"))}

    return ShippedFile(write, network=lambda: network()[0], keeps_float=True)
