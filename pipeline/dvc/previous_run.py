"""The result of a node's previous run: DVC deletes a stage's outs before it runs."""

import csv
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.paths import CURVES, METRICS
from pipeline.dvc import cache, lock


@dataclass(frozen=True)
class PreviousRun:
    """metrics: as the node's metrics file had them; images_per_second: the median epoch's, None of no training."""

    metrics: dict[str, Any]
    images_per_second: float | None


def read(node: str) -> PreviousRun | None:
    """What dvc.lock recorded of the node's stage; None where there is none that the cache still holds."""
    outs = lock.read_stage(Path("dvc.lock"), node.replace("/", "@", 1)).outs
    if not outs or (root := cache.folder()) is None:
        return None
    metrics = cache.read_json(root, outs, f"{METRICS / node}.json")
    source = metrics.get("origin", node) if isinstance(metrics, dict) else node
    if source.startswith(f"{node}/"):  # one of the node's own members stands for it
        metrics = cache.read_json(root, outs, f"{METRICS / source}.json")
    if not isinstance(metrics, dict) or "cost" not in metrics:
        return None
    curve = cache.read(root, outs, f"{CURVES / source}.csv") or ""
    rates = [float(row["images_per_second"]) for row in csv.DictReader(curve.splitlines())]
    return PreviousRun(metrics, statistics.median(rates) if rates else None)
