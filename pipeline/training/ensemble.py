"""The ensemble as a node: computed from its members' predictions, without a forward pass.

Only where it teaches, its members forward views: of the stream `ensemble`, on which none of them was trained. Their
weights are those of their nodes, so that none is trained again.

Legend: M members, N images, B batch, C classes, H = W edge in pixels.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config.select import metric_of
from pipeline.console.progress import log
from pipeline.data import prepared
from pipeline.data.prepared import Prepared
from pipeline.data.streams import ENSEMBLE
from pipeline.evaluation.ensemble import combine, cross_fitted, fit_weights, prefixes
from pipeline.evaluation.metrics import accuracy, scores
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.models.libraries import versions
from pipeline.models.shown import Shown
from pipeline.planning.specs.machine import read_machine
from pipeline.planning.specs.readers import EnsembleSpec
from pipeline.training.answers import check_answers
from pipeline.training.device import choose
from pipeline.training.labelling import write_labels
from pipeline.training.learn import load

SPLITS = ("validation", "test")


def write_ensemble(spec: EnsembleSpec) -> None:
    """Combine the members that `spec` names; slots that stand for the same network count once."""
    name, rule = spec.node, spec.rule
    data = prepared.read(DATA)
    teaches = spec.labels.views > 0
    members = _distinct(spec.members, {"predictions", "weights"} if teaches else {"predictions"})
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
        hashes = {"predictions": write_predictions(folder, combined)}
        if teaches:
            hashes["labels"] = _label(folder / "labels", spec, members, weights_M, data)
        read = "weights" if teaches else "predictions"
        lineage = tuple({"teacher": m.name, "read": read, "hash": m.hashes[read]} for m in members)
        chain = ((name, found["validation"][metric_of(spec.select).name]),)
        made = Node(name, "computed", tuple(hashes), lineage=lineage, chain=chain, hashes=hashes)
        node.write(folder, replace(made, labels_stream=ENSEMBLE, select=spec.select))
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


def _distinct(names: tuple[str, ...], needed: set[str]) -> list[Node]:
    """The networks behind the slots, each once; `needed` of each."""
    nodes = {each.source: node.read(each.source) for each in map(node.read, names)}
    if without := [each.name for each in nodes.values() if not needed <= {*each.provides}]:
        raise UserError(f"{without[0]} has no {' and '.join(sorted(needed))} to combine: take it out of the ensemble")
    return list(nodes.values())


def _label(folder: Path, spec: EnsembleSpec, members: list[Node], weights_M: Tensor | None, data: Prepared) -> str:
    """Label views of the stream `ensemble`; return the hash of the label set."""
    if strange := [each.name for each in members if ENSEMBLE in each.trained_on]:
        raise UserError(f"{strange[0]} was trained on the views that the ensemble labels: take it out of the ensemble")
    device = choose(read_machine(), spec.forward.precision)
    shown = Shown([each.input for each in members], data.mean, data.std, device.where, data.rendering(None))
    forwards = []
    for each in members:
        model = load(each, device).eval()
        check_answers(each, model, data, device)
        forwards.append(device.forward(model, shown.to(each.input)))
    libraries = versions([each.architecture or {} for each in members])

    def combined(x_BCHW: Tensor) -> Tensor:
        return combine(torch.stack([each(x_BCHW) for each in forwards]), spec.rule, weights_M)

    made = [
        [each.hashes["weights"] for each in members],
        None if weights_M is None else weights_M.tolist(),
        spec.rule,
    ]
    # A mean of probabilities is computed in float32 whatever the members compute in.
    made_hash = files.digest(made)
    return write_labels(
        spec, ENSEMBLE, folder, combined, data, device, "float32", made, made_hash, shown, libraries=libraries
    )
