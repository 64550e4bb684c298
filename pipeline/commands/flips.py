"""Which images two networks answer differently, what that proves of other images, and whether it is too much.

Legend: N images of a split, C classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.commands.predict import opened
from pipeline.config.input import Rendering
from pipeline.config.section import unknown
from pipeline.console.text import named
from pipeline.data import prepared
from pipeline.data.pictures import clean
from pipeline.data.prepared import Prepared
from pipeline.evaluation.flips import Flips
from pipeline.evaluation.gate import NotProven, verdict
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions

SUFFIX = ".onnx"
SPLITS = ("validation", "test")


@dataclass(frozen=True, eq=False)
class Compared:
    """The answers of two networks to the clean images of a split.

    Attributes:
        first, second: Their names: of nodes, or paths of files.
        data: The prepared images.
        y_N, first_N, second_N: The class of each image, and the two answers; int64.
    """

    first: str
    second: str
    split: str
    data: Prepared
    y_N: np.ndarray
    first_N: np.ndarray
    second_N: np.ndarray

    @property
    def lost(self) -> np.ndarray:
        """Rows of the images that only the first one gets right, int64."""
        return np.flatnonzero((self.first_N == self.y_N) & (self.second_N != self.y_N))

    @property
    def won(self) -> np.ndarray:
        """Rows of those that only the second one gets right, int64."""
        return np.flatnonzero((self.first_N != self.y_N) & (self.second_N == self.y_N))

    @property
    def moved(self) -> np.ndarray:
        """Rows of those that both get wrong, and not alike, int64."""
        wrong_N = (self.first_N != self.y_N) & (self.second_N != self.y_N)
        return np.flatnonzero(wrong_N & (self.first_N != self.second_N))

    @property
    def flips(self) -> Flips:
        """How many are lost and won."""
        return Flips(len(self.y_N), len(self.lost), len(self.won))


def compare(first: str, second: str, split: str) -> Compared:
    """Read what two networks answer.

    first, second: nodes as in `status`, or exported .onnx files, which are run on the split.

    Raises:
        UserError: There is no such split, node or file, it gives no answers, or it knows other classes.
    """
    if split not in SPLITS:
        raise UserError(f"--split: {unknown('split', split, SPLITS)}")
    data = prepared.read(DATA)
    y_N = np.asarray(getattr(data, split).labels)
    first_N, second_N = (_answers(name, split, data).argmax(1) for name in (first, second))
    return Compared(first, second, split, data, y_N, first_N, second_N)


def summary(of: Compared) -> list[str]:
    """In sentences: accuracies, what is lost and won, and what that says of other images."""
    flips, count = of.flips, len(of.y_N)
    right = [float((answers_N == of.y_N).mean()) for answers_N in (of.first_N, of.second_N)]
    low, high = flips.interval
    return [
        f"{of.first} gets {100 * right[0]:.2f} % of {count:,} {of.split} images right, "
        f"{of.second} {100 * right[1]:.2f} %",
        f"{flips.lost:,} lost, {flips.won:,} won, {len(of.moved):,} answered wrongly by both, and not alike",
        f"a drop of {100 * flips.drop:.2f} points; on other images of this kind {100 * low:.2f} to {100 * high:.2f} "
        f"(Tango's 95 % interval); McNemar's exact p {flips.p:.3g}",
    ]


def by_class(of: Compared) -> list[tuple[str, ...]]:
    """Cells, header first: images, lost and won of each class in which any is, the most lost first."""
    rows: list[tuple[str, int, int, int]] = []
    for c, name in enumerate(of.data.classes):
        lost, won = (int((of.y_N[rows_N] == c).sum()) for rows_N in (of.lost, of.won))
        if lost or won:
            rows.append((named(name), int((of.y_N == c).sum()), lost, won))
    rows.sort(key=lambda row: row[3] - row[2])
    return [("class", "images", "lost", "won"), *((name, *(f"{each:,}" for each in rest)) for name, *rest in rows)]


def images(of: Compared) -> list[tuple[str, ...]]:
    """Cells, header first: each image that is lost or won, by its number in the split, and both answers."""
    classes = [named(name) for name in of.data.classes]
    return [
        ("image", "is", "class", "first", "second"),
        *(
            (str(row), word, classes[of.y_N[row]], classes[of.first_N[row]], classes[of.second_N[row]])
            for word, rows in (("lost", of.lost), ("won", of.won))
            for row in rows.tolist()
        ),
    ]


def gate(of: Compared, most: float) -> str:
    """Say that no more than `most` is lost, a share.

    Raises:
        UserError: That is not proven; how many images it would take stands there.
    """
    if not 0 < most < 1:
        raise UserError(f"--max-drop is {most:g}: give a share above 0 and below 1, as a drop of 0 can never be proven")
    try:
        return verdict(of.flips, of.second, most)
    except NotProven as error:
        raise UserError(str(error)) from None


def figures(of: Compared) -> dict[str, Any]:
    """As JSON: what `summary` says."""
    flips = of.flips
    names = {"first": of.first, "second": of.second, "split": of.split}
    counts = {"images": flips.count, "lost": flips.lost, "won": flips.won, "wrong_differently": len(of.moved)}
    return names | counts | {"drop": flips.drop, "interval": [*flips.interval], "most": flips.most, "p": flips.p}


def write(of: Compared, path: Path) -> None:
    """Write a page with the pictures of what is lost and won."""
    from pipeline.report import flips as page  # as of the charts, jinja2 is for who wants a page

    images, answers = getattr(of.data, of.split).images, [of.y_N, of.first_N, of.second_N]
    kinds = [
        page.kind(f"{len(rows):,} {title}", rows, images, of.data, answers)
        for title, rows in (
            (f"lost: {of.first} alone is right", of.lost),
            (f"won: {of.second} alone is right", of.won),
            ("answered wrongly by both, and not alike", of.moved),
        )
    ]
    files.write_text(path, page.render(f"{of.first} and {of.second}", summary(of), kinds, of.data))


def _answers(name: str, split: str, data: Prepared) -> np.ndarray:
    """Logits of a node or a file, float32 (N, C)."""
    if name.endswith(SUFFIX):
        return _of_file(Path(name), split, data)
    found = node.read(name)
    if "predictions" not in found.provides:
        raise UserError(f"{name} gives no answers: name a node that does, as in `python -m pipeline status`")
    return read_predictions(found)[split].numpy()


def _of_file(path: Path, split: str, data: Prepared) -> np.ndarray:
    runtime = opened(path)
    card = runtime.card
    if {*card.classes} != {*data.classes} or card.channels != data.channels:
        raise UserError(f"{path} is of other classes or channels than the prepared images: name a file of these")
    own = Rendering(card.size, card.framing or "crop", card.margin or 0.0)
    stored = getattr(data, split).images
    logits_NC = runtime.logits(clean(stored, own if data.rendering(None) else None))
    return logits_NC[:, [card.classes.index(each) for each in data.classes]]
