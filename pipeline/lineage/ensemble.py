"""The ensemble as a node: computed from its members' predictions and labels, without a forward pass.

Legend: M members, N images, C classes.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config.views import Views
from pipeline.console.progress import log
from pipeline.data import prepared
from pipeline.data.prepared import Prepared
from pipeline.data.views import describe
from pipeline.evaluation.ensemble import combine, cross_fitted, fit_weights, prefixes
from pipeline.evaluation.metrics import accuracy, scores
from pipeline.labels.format import Format
from pipeline.labels.store import LabelsHeader, open_labels, write_header, write_view
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.planning.specs.readers import EnsembleSpec

SPLITS = ("validation", "test")
CHUNK = 4096  # rows of all members in memory at a time


def write_ensemble(spec: EnsembleSpec) -> None:
    """Combine the members that `spec` names; slots that stand for the same network count once."""
    name, rule = spec.node, spec.rule
    data = prepared.read(DATA)
    members = _distinct(spec.members)
    stored = [read_predictions(member) for member in members]
    y_N = {split: torch.from_numpy(getattr(data, split).labels.copy()) for split in SPLITS}
    logits_MNC = {split: torch.stack([each[split] for each in stored]) for split in SPLITS}
    fitted_on = (logits_MNC["validation"], y_N["validation"])
    weights_M = fit_weights(*fitted_on) if rule == "weighted" else None
    combined = {split: combine(logits_MNC[split], rule, weights_M) for split in SPLITS}
    if rule == "weighted":
        # The weights know the classes of the validation images: what is reported and compared must not.
        combined["validation"] = cross_fitted(*fitted_on)
    found = {split: scores(combined[split], y_N[split]) for split in SPLITS}
    with node.writing(name) as folder:
        hashes = {
            "predictions": write_predictions(folder, combined),
            "labels": _label(folder / "labels", spec, members, weights_M, data),
        }
        lineage = tuple({"teacher": m.name, "read": "labels", "hash": m.hashes["labels"]} for m in members)
        chain = ((name, found["validation"]["accuracy"]),)
        provides = ("predictions", "labels")
        node.write(folder, Node(name, "computed", provides, lineage=lineage, chain=chain, hashes=hashes))
    metrics = {
        "status": "computed",
        **found,
        "members": {
            m.name: {split: accuracy(logits_MNC[split][i], y_N[split]) for split in SPLITS}
            for i, m in enumerate(members)
        },
        "weights": None if weights_M is None else weights_M.tolist(),
        "first": {
            split: prefixes(logits_MNC[split], y_N[split], rule, fitted_on if split == "test" else None)
            for split in SPLITS
        },
        "cost": {"training_seconds": 0.0},
    }
    node.write_numbers(name, metrics, EMPTY_CURVE)
    firsts = ", ".join(f"first {k}: {100 * each:.1f}" for k, each in metrics["first"]["validation"].items())
    log(f"{name}: validation {100 * found['validation']['accuracy']:.1f} % ({firsts or 'one member'})")


def _distinct(names: tuple[str, ...]) -> list[Node]:
    """The networks behind the slots, each once."""
    nodes = {each.source: node.read(each.source) for each in map(node.read, names)}
    if without := [each.name for each in nodes.values() if not {"predictions", "labels"} <= {*each.provides}]:
        raise UserError(f"{without[0]} has no predictions and labels to combine: take it out of the ensemble")
    return list(nodes.values())


def _label(folder: Path, spec: EnsembleSpec, members: list[Node], weights_M: Tensor | None, data: Prepared) -> str:
    """Combine the members' labels view by view: all views where the ensemble teaches, else the clean one."""
    views = describe(Views(**spec.views), spec.views_seed, "labels", len(data.train))
    bound: dict[str, Any] = {"data_hash": data.hash, "views": views, "classes": data.classes}
    opened = [open_labels(member.labels, recorded=member.hashes["labels"], **bound) for member in members]
    count = min(labels.views for labels in opened) if spec.teaches else 0
    # A mean of probabilities is computed in float32 whatever the members stored.
    form = opened[0].header.format
    form = Format("dense", "float32") if form.kind == "dense" else form
    folder.mkdir()
    for v in range(count + 1):
        # A chunk at a time: members times samples times classes can be more than any memory.
        chunks = (
            combine(torch.stack([labels.rows(v, rows_B) for labels in opened]), spec.rule, weights_M)
            for rows_B in torch.arange(len(data.train)).split(CHUNK)
        )
        write_view(folder, v, chunks, form, spec.node)
    content = [[m.hashes["labels"] for m in members], None if weights_M is None else weights_M.tolist(), spec.rule]
    header = LabelsHeader(
        teacher=spec.node,
        teacher_hash=files.digest(content),
        data_hash=data.hash,
        view_spec=views,
        classes=data.classes,
        count=len(data.train),
        views=count,
        format=form,
    )
    return write_header(folder, header)
