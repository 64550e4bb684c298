"""Attention maps of teacher, student and baseline on the same test images.

Legend: B images, C channels, H, W of a layer's map.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.report.png import data_uri, heat_uri
from pipeline.report.run import Entry, Reported
from pipeline.report.section import PageSection
from pipeline.report.words import shortened, times

SHOWN = ("teacher", "student", "baseline")
IMAGES = 6
FINE = 4  # positions along an edge that a map should have, to show anything


def pick(run: Reported, names: list[str], most: int = IMAGES) -> list[int]:
    """Rows of test images: first those of which the networks differ in being right, of different classes."""
    right_NM = np.stack([run.right(name) for name in names], axis=1)
    score_N = np.where(right_NM.all(axis=1), 1, np.where(right_NM.any(axis=1), 2, 0))
    if len(names) > 1:
        score_N += 2 * (right_NM[:, 1] & ~right_NM[:, -1])  # what distillation brought
    found: list[int] = []
    for row in np.argsort(-score_N, kind="stable").tolist():
        if len(found) < most and run.y_N[row] not in run.y_N[found]:
            found.append(row)
    return found


@dataclass(frozen=True)
class Maps:
    """A network's attention on some images: q_BHW, 0 .. 1 each, from its layer `tap`."""

    tap: str
    q_BHW: np.ndarray


def maps(entry: Entry, run: Reported, rows: list[int]) -> Maps | None:
    """Sum over channels of squared activations (Zagoruyko & Komodakis 2017, eq. 1 with p = 2), scaled to 0 .. 1.

    Of the last layer whose map is at least 4 x 4, else of the finest. None where no layer has positions.
    """
    import torch

    from pipeline.data.pictures import clean
    from pipeline.data.views import normalise
    from pipeline.lineage.node import checked_weights
    from pipeline.models.build import rebuild
    from pipeline.models.files import load_weights
    from pipeline.models.shown import Shown
    from pipeline.models.taps import shapes, tapped

    node = entry.node
    assert node.architecture is not None
    model = rebuild(node.architecture).eval()
    load_weights(model, checked_weights(node), f"the weights of {node.source}")
    sizes = shapes(model, run.data.channels, node.architecture["size"])
    found = {name: shape for name, shape in sizes.items() if len(shape) == 3}
    if not found:
        return None
    fine = [name for name, shape in found.items() if min(shape[1:]) >= FINE]
    tap = fine[-1] if fine else max(found, key=lambda name: found[name][1])
    rendering = run.data.rendering(node.input)
    images = torch.from_numpy(np.array(clean(run.data.test.images, rendering)[rows]))
    shown = Shown([node.input], run.data.mean, run.data.std, images.device, run.data.rendering(None))
    with tapped(model, [tap]) as outputs, torch.no_grad():
        model(shown.to(node.input)(normalise(images, shown.mean_C, shown.std_C)))
    q_BHW = outputs[tap].float().square().sum(1)
    low, high = q_BHW.amin((1, 2), keepdim=True), q_BHW.amax((1, 2), keepdim=True)
    return Maps(tap, ((q_BHW - low) / (high - low).clamp(min=1e-12)).numpy())


def section(run: Reported) -> PageSection | None:
    """The maps side by side; None where no network has weights that torch can run."""
    there = [run.answered(name) for name in SHOWN]
    entries = [
        entry
        for entry in there
        if entry and {"weights", "predictions"} <= {*entry.node.provides} and entry.node.format == "safetensors"
    ]
    if not entries:
        return None
    names = [entry.name for entry in entries]
    rows = pick(run, names)
    networks = [(entry, found) for entry in entries if (found := maps(entry, run, rows)) is not None]
    if not networks:
        return None
    lead = "Where each network's activations are strong for a test image; the brighter, the stronger."
    if len(names) > 1:
        lead += (
            f" Images on which {names[1]} and {names[-1]} differ come first."
            if len(names) > 2
            else (f" Images of which {names[0]} and {names[1]} do not both give the right class come first.")
        )
    photos = [
        {"uri": data_uri(np.asarray(run.data.test.images[row])), "true": shortened(run.classes[int(run.y_N[row])], 14)}
        for row in rows
    ]
    lines = [
        {
            "name": entry.name,
            "family": entry.family,
            "maps": [
                {
                    "uri": heat_uri(found.q_BHW[i]),
                    "answer": shortened(run.classes[int(run.guesses(entry.name)[row])], 14),
                    "right": bool(run.right(entry.name)[row]),
                }
                for i, row in enumerate(rows)
            ],
        }
        for entry, found in networks
    ]
    taps = "; ".join(f"{entry.name}: {found.tap}, {times(*found.q_BHW.shape[1:])}" for entry, found in networks)
    return PageSection("attention", "Attention maps", lead, {"photos": photos, "lines": lines, "taps": taps})
