"""The images that two networks answer differently, as a page: won and lost, each with both answers."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.encoded import EncodedImages
from pipeline.data.prepared import Prepared
from pipeline.report.page import COARSE, environment
from pipeline.report.png import photo_uri

MOST = 200  # images of a kind that a page shows


@dataclass(frozen=True)
class Flipped:
    """An image, its class and what the two answer."""

    number: int
    picture: str
    true: str
    first: str
    second: str


@dataclass(frozen=True)
class FlippedAlike:
    """Images that flip alike. left_out: how many more there are than are shown."""

    title: str
    images: list[Flipped]
    left_out: int


def kind(
    title: str, rows: np.ndarray, images: np.ndarray | EncodedImages, data: Prepared, answers: list[np.ndarray]
) -> FlippedAlike:
    """Those of `rows`. answers: the class of each image of the split, the first answer and the second."""
    shown = [
        Flipped(row, photo_uri(images, row), *(data.classes[each[row]] for each in answers))
        for row in rows[:MOST].tolist()
    ]
    return FlippedAlike(title, shown, len(rows) - len(shown))


def render(title: str, sentences: list[str], kinds: list[FlippedAlike], data: Prepared) -> str:
    """One HTML file that needs nothing else."""
    values = {"title": title, "sentences": sentences, "kinds": kinds, "coarse": data.size < COARSE}
    return environment().get_template("flips.html").render(values)
