"""What the soft labels look like: crops for which the teacher predicts another class than the hard label.

The crop of a stored label is not stored: it is drawn again from its seed, as the student drew it.

Legend: N images of the training split, C classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.config.views import Views
from pipeline.console.text import named
from pipeline.data.prepared import Prepared
from pipeline.report.png import data_uri
from pipeline.report.run import Run
from pipeline.report.section import PageSection
from pipeline.report.words import percent, shortened

TEACHER = "teacher"
SHOWN = 8
VIEWS = 8  # looked through: a student sees more, but these are plenty to find examples in
TOP = 3


@dataclass(frozen=True)
class Example:
    """A crop and its label.

    Attributes:
        row, view: Where its label stands in the store.
        hard: The class in the data. noise: whether label noise put it there.
        predicted: The teacher's likeliest classes and the hard one, highest first: name, probability, whether it is the
            hard one.
    """

    row: int
    view: int
    hard: str
    noise: bool
    predicted: tuple[tuple[str, float, bool], ...]


def likeliest(p_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each row, and its probability."""
    return p_NC.argmax(axis=1), p_NC.max(axis=1)


def chosen(
    views: Iterable[tuple[np.ndarray, np.ndarray]], y_N: np.ndarray, most: int = SHOWN
) -> tuple[list[tuple[int, int]], int]:
    """(view, row) of crops worth showing, and how many labels differ from the hard one.

    views: of views 1 .. V, the `likeliest` of each image. Those that differ come first, the surest of them at the top,
    each image once and no pair of classes more than twice; then those of which the teacher is least sure. Images
    without a label (-1) agree with nothing and differ from nothing: they are not shown.
    """
    differing, doubted = [], []
    count = 0
    for v, (guess_N, top_N) in enumerate(views, start=1):
        rows = np.flatnonzero((guess_N != y_N) & (y_N >= 0))
        count += len(rows)
        # Far more than are shown, so that enough are left once images and pairs have had their turn.
        rows = rows[np.argsort(-top_N[rows], kind="stable")[: 50 * most]]
        differing += [(-float(top_N[i]), v, int(i), (int(y_N[i]), int(guess_N[i]))) for i in rows]
        unsure = np.flatnonzero(guess_N == y_N)
        unsure = unsure[np.argsort(top_N[unsure], kind="stable")[:most]]
        doubted += [(float(top_N[i]), v, int(i), (int(y_N[i]), -1)) for i in unsure]
    found: list[tuple[int, int]] = []
    rows_seen: set[int] = set()
    pairs: dict[tuple[int, int], int] = {}
    for _, v, row, pair in sorted(differing) + sorted(doubted):
        if len(found) < most and row not in rows_seen and pairs.get(pair, 0) < 2:
            found.append((v, row))
            rows_seen.add(row)
            pairs[pair] = pairs.get(pair, 0) + 1
    return found, count


def section(run: Run) -> PageSection | None:
    """Examples from the teacher's label store, or None where it has no views."""
    import torch

    from pipeline.data.views import describe
    from pipeline.labels.store import open_labels

    entry = run.entries.get(TEACHER)
    if entry is None or "labels" not in entry.node.provides:
        return None
    data, views, seed = run.data, Views(**run.spec.views), run.spec.views_seed
    stream = entry.node.labels_stream
    if stream is None:
        return None
    described = describe(views, seed, stream, len(data.train))
    bound = {"recorded": entry.node.hashes["labels"], "data_hash": data.hash, "classes": data.classes}
    labels = open_labels(entry.node.labels, views=described, **bound)
    count = min(labels.views, VIEWS)
    if not count:
        return None

    def view(v: int) -> tuple[np.ndarray, np.ndarray]:
        """Without all of its probabilities at once."""
        guesses, tops = zip(*(likeliest(torch.softmax(z_BC, 1).numpy()) for z_BC in labels.pieces(v)), strict=True)
        return np.concatenate(guesses), np.concatenate(tops)

    y_N = np.asarray(data.train.labels)
    labelled = int((y_N >= 0).sum())
    picked, differing = chosen(map(view, range(1, count + 1)), y_N)
    cards = []
    for v, row in picked:
        (p_C,) = torch.softmax(labels.rows(v, np.array([row])), 1).numpy()
        each = example(p_C, row, v, data)
        cards.append(
            {
                "example": each,
                "crop": data_uri(crop(data, views, seed, stream, v, row)),
                "clean": data_uri(np.asarray(data.train.images[row])),
            }
        )
    share = differing / (count * labelled)
    lead = (
        f"A label of a whole image is not always true of its crop. In {percent(share)} % of the crops looked through, "
        "the teacher's likeliest class is another than the hard label."
    )
    if not differing:
        lead = "The teacher agrees with every hard label, crop by crop; these are the crops of which it is least sure."
    notes = (
        f"Views 1 to {count} of {labels.views} that the teacher labelled, {labelled:,} training images each. "
        "Large: the crop, drawn again from its seed. Small: the image that it was cut from."
    )
    return PageSection("soft-labels", "What the teacher predicts for a crop", lead, {"cards": cards, "notes": notes})


def example(p_C: np.ndarray, row: int, view: int, data: Prepared) -> Example:
    """One crop's label in words."""
    hard = int(data.train.labels[row])
    order = np.argsort(-p_C, kind="stable").tolist()
    shown = [*order[:TOP], *([hard] if hard not in order[:TOP] else [])]
    names = [shortened(named(name), 22) for name in data.classes]
    return Example(
        row=row,
        view=view,
        hard=names[hard],
        noise=hard != int(data.true_labels[row]),
        predicted=tuple((names[c], float(p_C[c]), c == hard) for c in shown),
    )


def crop(data: Prepared, views: Views, seed: int, stream: str, v: int, row: int) -> np.ndarray:
    """The pixels that the label of (view, row) of that stream belongs to, uint8 (C, H, W)."""
    import torch

    from pipeline.data.views import augment, draw

    drawn = draw(views, seed, stream, v, len(data.train), data.size)
    x_1CHW = torch.from_numpy(np.array(data.train.images[row]))[None]
    # With these two, normalising gives pixel values back.
    mean_C, std_C = torch.zeros(data.channels), torch.full((data.channels,), 1 / 255)
    return augment(x_1CHW, drawn, torch.tensor([row]), mean_C, std_C)[0].round().clamp(0, 255).byte().numpy()
