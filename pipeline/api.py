"""A run for programs and notebooks: its nodes, what they reached and answer, what they were taught, its networks.

    from pipeline.api import Run

    run = Run("photos")
    run.metrics("student")["test"]["accuracy"]

It reads what the stages wrote, by the functions that the commands call, and writes nothing. What is missing or damaged
is a `UserError` of one sentence.

Legend: N images of a split, B of those that are asked for, C channels, or classes of logits, H = W edge in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.paths import ARTIFACTS, DATA
from pipeline.config.section import unknown
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.prepared import Prepared
from pipeline.lineage import node
from pipeline.lineage.curves import Curve, read_curve
from pipeline.lineage.node import Node

if TYPE_CHECKING:  # torch takes seconds, which who reads figures need not wait for
    from torch import Tensor, nn

    from pipeline.commands.predict import Prediction, Unreadable
    from pipeline.labels.store import Labels

__all__ = ["Run", "UserError"]


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """The soft labels of a node: its logits of each view of each training image, beside the views.

    Attributes:
        stored: Its logits; `stored.views` is the number of views beside the clean images, which are view 0.
        is_clean: Whether its label of a view is that of the clean image, whatever the view shows.
    """

    stored: Labels
    data: Prepared
    is_clean: bool = False

    def __len__(self) -> int:
        return self.stored.views + 1

    def logits(self, view: int, rows_B: Sequence[int] | np.ndarray | None = None) -> Tensor:
        """What the node answered, float32 (B, C); rows_B: of which training images, None for all."""
        return self.stored.view(view) if rows_B is None else self.stored.rows(view, np.asarray(rows_B))

    def images(self, view: int, rows_B: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The very crops that it answered, drawn again: float32 (B, C, H, W), pixels 0 .. 1, at `data.size`.

        A network with an input of its own was shown them at that size (`stored.header.input`). Where `is_clean`, what
        it answered are the clean images, view 0; a student was shown the others.
        """
        from pipeline.commands.views import pixels

        if not 0 <= view < len(self):
            raise UserError(f"view {view} was asked for, and labels are of 0 to {len(self) - 1}")
        spec = self.stored.header.view_spec
        views = Views(**{key: value for key, value in spec.items() if key in Views.model_fields})
        rows_B = None if rows_B is None else np.asarray(rows_B)
        return pixels(self.data, "train", views, (spec["seed"], spec["stream"], view), rows_B)


class Run:
    """What lies in a folder that `cohobate init` made, or in a clone, after `dvc repro`.

    Args:
        folder: The top folder.

    Raises:
        UserError: No stage of it has run.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder).resolve()
        if not (self.folder / ARTIFACTS).is_dir():
            raise UserError(f"{folder} holds no artifacts: name the folder with dvc.yaml, and run `dvc repro` there")

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """What the stages made, by name; a slot that stands for another node has its `origin`."""
        top = self.folder / ARTIFACTS
        names = sorted(path.parent.relative_to(top).as_posix() for path in top.rglob("node.json"))
        names = [name for name in names if not name.endswith(f"/{node.FLOAT}")]  # a part of the node around it
        return {name: node.read(name, self.folder) for name in names}

    @cached_property
    def data(self) -> Prepared:
        """The prepared images and their classes."""
        return prepared.read(self.folder / DATA)

    def node(self, name: str) -> Node:
        """A node by its name; an unknown one is named, with the nearest that there is."""
        if name not in self.nodes:
            raise UserError(f"{self.folder}: {unknown('node', name, self.nodes)}")
        return self.nodes[name]

    def metrics(self, name: str) -> dict[str, Any]:
        """Its figures, as `metrics/<name>.json` has them: accuracy and its like by split, parameters, cost."""
        return node.read_numbers(self._made(name).source, self.folder)

    def curve(self, name: str) -> Curve:
        """Its training by epoch: a list a column, nan where an epoch has no value; {} where nothing was trained."""
        return read_curve(self._made(name).source, self.folder)

    def predictions(self, name: str) -> dict[str, Tensor]:
        """Its logits on the clean images of `validation` and `test`, float32 (N, C)."""
        from pipeline.lineage.predictions import read_predictions

        return read_predictions(self._with("predictions", name))

    def labels(self, name: str) -> SoftLabels:
        """Its stored soft labels, and the views that they are of."""
        from pipeline.base.files import read_json
        from pipeline.labels.layout import HEADER
        from pipeline.labels.store import open_labels

        of = self._with("labels", name)
        spec = read_json(of.labels / HEADER).get("view_spec", {})
        recorded = of.hashes["labels"]
        labels = open_labels(
            of.labels, recorded=recorded, data_hash=self.data.hash, views=spec, classes=self.data.classes
        )
        return SoftLabels(labels, self.data, of.labels_of == "clean")

    def network(self, name: str) -> nn.Module:
        """Its network on the CPU, with its weights, in eval mode.

        It takes images as `node(name).input` says: normalised, of that size; where that is None, as `data` has them.
        """
        import torch

        from pipeline.training.answers import check_answers
        from pipeline.training.device import Device
        from pipeline.training.learn import load

        of = self._with("weights", name)
        if of.format != "safetensors":
            raise UserError(f"{name} is no torch network ({of.format}): run its file in its runtime, or `predict`")
        own = (of.architecture or {}).get("family") == "own"
        if own and Path.cwd().resolve() != self.folder:
            raise UserError(f"{name} is built by a module of {self.folder}: change to that folder first")
        cpu = Device(torch.device("cpu"), torch.float32)
        model = load(of, cpu).eval()
        check_answers(of, model, self.data, cpu)
        return model

    def predict(
        self, images: str | Path | Iterable[str | Path], model: str | Path | None = None
    ) -> Iterator[Prediction | Unreadable]:
        """Classify an image file, a folder of them, or several, by what ships; see `python -m pipeline predict`.

        model: another .onnx file.
        """
        from pipeline.commands.predict import classify, opened, shipped

        runtime = opened(Path(model) if model else shipped(self.folder))
        return classify(runtime, map(Path, [images] if isinstance(images, str | Path) else images))

    def _made(self, name: str) -> Node:
        of = self.node(name)
        if of.status == "skipped":
            raise UserError(f"{self.folder}: {name} is switched off in params.yaml (skipped): name another node")
        return of

    def _with(self, what: str, name: str) -> Node:
        of = self._made(name)
        if what not in of.provides:
            has = ", ".join(of.provides) or "nothing"
            raise UserError(f"{self.folder}: {name} has no {what} ({of.status}, it provides {has}): name another node")
        return of
