"""Streams of views: the same images with other crops, so that what a node labels it was not trained on.

The first network is trained on `train`. Label streams are `labels`, `labels_2` and so on: a node labels the first of
them that its weights were not trained on, so that a chain alternates between two. Students on hard labels are trained
on `labels`, as those of a teacher from `train` are, and share its crops. What an ensemble teaches is the stream
`ensemble`, on which no member was trained.
"""

import itertools
from collections.abc import Iterable

TRAIN = "train"
FIRST = "labels"
ENSEMBLE = "ensemble"


def to_label(trained_on: Iterable[str]) -> str:
    """The stream that a network labels which was trained on these: the first label stream that is none of them."""
    seen = {*trained_on}
    return next(stream for stream in _label_streams() if stream not in seen)


def _label_streams() -> Iterable[str]:
    return itertools.chain([FIRST], (f"{FIRST}_{number}" for number in itertools.count(2)))
