"""What the report reads: the nodes of a finished run with their numbers, curves and predictions.

Legend: N images of a split, C classes.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.base.paths import DATA
from pipeline.console.text import named
from pipeline.data import prepared
from pipeline.data.prepared import Prepared
from pipeline.lineage import results
from pipeline.lineage.node import Node
from pipeline.planning.specs.readers import ReportSpec

LOGITS = 2 * 10**8  # of all networks on test: read in a few seconds


@dataclass(frozen=True)
class Entry:
    """One node as the report shows it.

    Attributes:
        node: The node.
        metrics: Its numbers; a carried slot has those of its origin.
    """

    node: Node
    metrics: dict[str, Any]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def family(self) -> str:
        """What its stage is called: `refinery` of `refinery/g3`."""
        return self.name.split("/")[0]

    @property
    def own(self) -> bool:
        """Whether this is a network of its own, and not a slot that stands for another one."""
        return self.node.status != "carried" or (self.node.origin or "").startswith(f"{self.name}/")

    @property
    def test(self) -> float | None:
        """Accuracy on test; None of a network that gives no answers."""
        return self.metrics["test"]["accuracy"] if "test" in self.metrics else None

    @property
    def validation(self) -> float | None:
        """Accuracy on validation; None of a network that gives no answers."""
        return self.metrics["validation"]["accuracy"] if "validation" in self.metrics else None

    @property
    def taught_by(self) -> list[str]:
        """Its teachers' names, members of an ensemble included, once each."""
        return list(dict.fromkeys(item["teacher"] for item in self.node.lineage))


class Reported:
    """A run, read as it is asked for. One that is not finished has nodes that are `missing`.

    Args:
        spec: The report's.
    """

    def __init__(self, spec: ReportSpec) -> None:
        self.spec = spec
        there, self.missing = results.made(spec.nodes)
        self.entries = {row.node.name: Entry(row.node, row.metrics) for row in results.rows(there)}
        self.skipped = [name for name in there if name not in self.entries]
        self.data: Prepared = prepared.read(DATA)
        self._guesses: dict[str, np.ndarray] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes as a person reads them, in the order of the logits."""
        return tuple(map(named, self.data.classes))

    @property
    def networks(self) -> list[Entry]:
        """The networks themselves, each once, in the order of the lineage."""
        return [entry for entry in self.entries.values() if entry.own]

    @property
    def answering(self) -> list[Entry]:
        """Those of the networks that give answers on test."""
        return [entry for entry in self.networks if entry.test is not None and "predictions" in entry.node.provides]

    @property
    def shipped(self) -> Entry | None:
        """The file at the end of the compress chain; None where no file ships."""
        steps = [entry for entry in self.answering if "step" in entry.metrics]
        return steps[-1] if steps and steps[-1].node.format == "onnx" else None

    @cached_property
    def by_image(self) -> list[Entry]:
        """Those whose answers are looked at image by image: all, or the teacher and what ships, where all are many.

        The others come by their metrics.
        """
        if len(self.answering) * len(self.data.test) * len(self.classes) <= LOGITS:
            return self.answering
        last = self.shipped or self.find("student")
        return [entry for entry in self.answering if entry.name in ("teacher", last and last.name)]

    def find(self, name: str) -> Entry | None:
        """A node by its name; None where it is skipped or answers nothing."""
        entry = self.entries.get(name)
        return entry if entry is not None and entry.test is not None else None

    @cached_property
    def y_N(self) -> np.ndarray:
        """Classes of the test images, int64."""
        return np.asarray(self.data.test.labels)

    def answered(self, name: str) -> Entry | None:
        """A node whose answers are looked at image by image; None where they are not."""
        return next((entry for entry in self.by_image if entry.name == name), None)

    def logits(self, entry: Entry) -> np.ndarray:
        """Its logits on the test images, float64 (N, C). Not kept: of many classes they are large."""
        # Here, as torch takes a second to import, which the charts' own numbers do not need.
        from pipeline.lineage.predictions import read_predictions

        return read_predictions(entry.node)["test"].double().numpy()

    def guesses(self, name: str) -> np.ndarray:
        """The class that a node gives each test image, int64 (N,)."""
        if name not in self._guesses:
            from pipeline.lineage.predictions import read_predictions

            self._guesses[name] = read_predictions(self.entries[name].node)["test"].argmax(1).numpy()
        return self._guesses[name]

    def right(self, name: str) -> np.ndarray:
        """Which test images a node gets right, bool (N,)."""
        return self.guesses(name) == self.y_N


def number_of(name: str) -> int:
    """The number of a slot: 3 of `refinery/g3`."""
    found = re.search(r"\d+$", name)
    return int(found[0]) if found else 0
