"""The result of a node's previous run: DVC deletes a stage's outs before it runs."""

import csv
import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.paths import ARTIFACTS, CURVES, DATA, METRICS
from pipeline.dvc import cache, lock


@dataclass(frozen=True)
class PreviousRun:
    """The last run of a node.

    metrics: as the node's metrics file had them. images_per_second: the median epoch's, None of no training.
    networks: the architecture of each network that was trained, in which images' size stands, too. same_data: whether
    it read the data that are prepared now.
    """

    metrics: dict[str, Any]
    images_per_second: float | None
    networks: tuple[dict[str, Any], ...] = ()
    same_data: bool = True


def read(node: str) -> PreviousRun | None:
    """What dvc.lock recorded of the node's stage; None where there is none that the cache still holds."""
    record = lock.read_stages(Path("dvc.lock"), [node.replace("/", "@", 1)])
    outs = record.outs
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
    deps = [dep for stage in record.stages.values() for dep in stage.get("deps", [])]
    read_data = {dep.get("md5") for dep in deps if dep["path"] == str(DATA)}
    prepared = lock.read_stages(Path("dvc.lock"), ["prepare"]).outs.get(str(DATA))
    return PreviousRun(
        metrics,
        statistics.median(rates) if rates else None,
        tuple(_networks(root, outs, node)),
        read_data == {prepared},
    )


def _networks(root: Path, outs: dict[str, str], node: str) -> Iterator[dict[str, Any]]:
    """What its node.json said of its network, or of each of those that taught each other."""
    folder = ARTIFACTS / node
    members = (cache.read_json(root, outs, f"{folder}/members/{number}/node.json") for number in itertools.count(1))
    found = [*itertools.takewhile(lambda member: member is not None, members)]
    for record in found or [cache.read_json(root, outs, f"{folder}/node.json")]:
        if isinstance(record, dict) and isinstance(record.get("architecture"), dict):
            yield record["architecture"]
