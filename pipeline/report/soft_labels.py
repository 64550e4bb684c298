"""What the soft labels look like: crops for which the teacher predicts another class than the hard label.

The crop of a stored label is not stored: it is drawn again from its seed, and shown as the teacher saw it, mixed where
views mix images.

Legend: N images of the training split, V views, C classes or channels, S edge of a view.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.config.input import Input
from pipeline.config.views import Views
from pipeline.console.text import named
from pipeline.data.prepared import Prepared
from pipeline.report.png import data_uri
from pipeline.report.run import Reported
from pipeline.report.section import PageSection
from pipeline.report.words import percent, shortened

TEACHER = "teacher"
SHOWN = 8
VIEWS = 8  # looked through: a student sees more, but these are plenty to find examples in
LOOKED = 10**8  # probabilities looked through: of more, those of the first images
TOP = 3


@dataclass(frozen=True)
class Example:
    """A crop and its label.

    Attributes:
        row, view: Where its label stands in the store.
        hard: The class in the data. noise: whether label noise put it there.
        predicted: The teacher's likeliest classes and the hard ones, highest first: name, probability, whether it is a
            hard one.
        other: The class of what is mixed into it, and how much of it that is; None where it is one image.
    """

    row: int
    view: int
    hard: str
    noise: bool
    predicted: tuple[tuple[str, float, bool], ...]
    other: tuple[str, float] | None = None


def likeliest(p_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each row, and its probability."""
    return p_NC.argmax(axis=1), p_NC.max(axis=1)


def chosen(
    views: Iterable[tuple[np.ndarray, np.ndarray]],
    y_N: np.ndarray,
    most: int = SHOWN,
    other_VN: list[np.ndarray] | None = None,
) -> tuple[list[tuple[int, int]], int]:
    """(view, row) of crops worth showing, and how many labels differ from the hard one.

    views: of views 1 .. V, the `likeliest` of each image. Those that differ come first, the surest of them at the top,
    each image once and no pair of classes more than twice; then those of which the teacher is least sure. Images
    without a label (-1) agree with nothing and differ from nothing: they are not shown. other_VN: the class of what is
    mixed into each; a mixed crop differs where its likeliest class is neither's.
    """
    differing, doubted = [], []
    count = 0
    for v, (guess_N, top_N) in enumerate(views, start=1):
        other_N = y_N if other_VN is None else other_VN[v - 1]
        agrees_N, known_N = (guess_N == y_N) | (guess_N == other_N), (y_N >= 0) & (other_N >= 0)
        rows = np.flatnonzero(~agrees_N & known_N)
        count += len(rows)
        # Far more than are shown, so that enough are left once images and pairs have had their turn.
        rows = rows[np.argsort(-top_N[rows], kind="stable")[: 50 * most]]
        differing += [(-float(top_N[i]), v, int(i), (int(y_N[i]), int(guess_N[i]))) for i in rows]
        unsure = np.flatnonzero(agrees_N & known_N)
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


def section(run: Reported) -> PageSection | None:
    """Examples from the teacher's label store, or None where it has no views."""
    import torch

    from pipeline.data.views import describe, draw
    from pipeline.labels.store import AT_ONCE, open_labels

    entry = run.entries.get(TEACHER)
    if entry is None or "labels" not in entry.node.provides:
        return None
    data, views, seed = run.data, Views(**run.spec.views), run.spec.views_seed
    stream = entry.node.labels_stream
    if stream is None:
        return None
    described = describe(views, seed, stream, len(data.train), data.renderer)
    bound = {"recorded": entry.node.hashes["labels"], "data_hash": data.hash, "classes": data.classes}
    labels = open_labels(entry.node.labels, views=described, **bound)
    count = min(labels.views, VIEWS)
    if not count:
        return None

    def view(v: int) -> tuple[np.ndarray, np.ndarray]:
        """Without all of its probabilities at once."""
        pieces = (labels.rows(v, np.arange(start, min(start + AT_ONCE, most))) for start in range(0, most, AT_ONCE))
        guesses, tops = zip(*(likeliest(torch.softmax(z_BC, 1).numpy()) for z_BC in pieces), strict=True)
        return np.concatenate(guesses), np.concatenate(tops)

    whole_N = np.asarray(data.train.labels)
    most = min(len(whole_N), max(1, LOOKED // (count * len(data.classes))))
    y_N = whole_N[:most]
    labelled = int((y_N >= 0).sum())
    mixed_V = [
        draw(views, seed, stream, v, len(whole_N), data.size, data.train.aspect_N).mixed for v in range(1, count + 1)
    ]
    other_VN = [y_N if each is None else whole_N[each.partner_N.numpy()[:most]] for each in mixed_V]
    picked, differing = chosen(map(view, range(1, count + 1)), y_N, other_VN=other_VN)
    cards = []
    for v, row in picked:
        (p_C,) = torch.softmax(labels.rows(v, np.array([row])), 1).numpy()
        mixed = mixed_V[v - 1]
        partner = None if mixed is None else (int(mixed.partner_N[row]), 1 - float(mixed.share_N[row]))
        cards.append(
            {
                "example": example(p_C, row, v, data, partner),
                "crop": data_uri(crop(data, views, seed, stream, v, row, entry.node.input)),
                "clean": [data_uri(np.asarray(data.train.images[of])) for of in (row, *(partner or ())[:1])],
            }
        )
    share = differing / (count * labelled)
    another = "neither of the two hard labels" if views.mixes else "another than the hard label"
    lead = (
        f"A label of a whole image is not always true of its crop. In {percent(share)} % of the crops looked through, "
        f"the teacher's likeliest class is {another}."
    )
    if not differing:
        lead = "The teacher agrees with every hard label, crop by crop; these are the crops of which it is least sure."
    notes = (
        f"Views 1 to {count} of {labels.views} that the teacher labelled, {labelled:,} "
        f"{'of the first ' if most < len(whole_N) else ''}training images each. "
        "Large: the crop, drawn again from its seed. Small: the image that it was cut from."
    )
    if views.mixes:
        notes += " Each crop is mixed with that of another image, which is small beside it."
    return PageSection("soft-labels", "What the teacher predicts for a crop", lead, {"cards": cards, "notes": notes})


def example(p_C: np.ndarray, row: int, view: int, data: Prepared, partner: tuple[int, float] | None = None) -> Example:
    """One crop's label in words. partner: the row that is mixed into it, and its share."""
    hard = int(data.train.labels[row])
    hards = {hard} if partner is None else {hard, int(data.train.labels[partner[0]])}
    order = np.argsort(-p_C, kind="stable").tolist()
    shown = [c for place, c in enumerate(order) if place < TOP or c in hards]
    names = [shortened(named(name), 22) for name in data.classes]
    return Example(
        row=row,
        view=view,
        hard=names[hard],
        noise=hard != int(data.true_labels[row]),
        predicted=tuple((names[c], float(p_C[c]), c in hards) for c in shown),
        other=None if partner is None else (names[int(data.train.labels[partner[0]])], partner[1]),
    )


def crop(
    data: Prepared, views: Views, seed: int, stream: str, v: int, row: int, input: Input | None = None
) -> np.ndarray:
    """The pixels that the label of (view, row) of that stream belongs to, uint8 (C, S, S).

    input: of the network that sees them; None is that of the data.
    """
    import torch

    from pipeline.data.feed import augment_ahead, fed
    from pipeline.data.rows import Rows
    from pipeline.data.views import draw

    drawn = draw(views, seed, stream, v, len(data.train), data.size, data.train.aspect_N)
    rendering, cpu = data.rendering(input), torch.device("cpu")
    images = fed(data.train.images, [rendering] if rendering else [], cpu, 0)
    # With these two, normalising gives pixel values back.
    mean_C, std_C = torch.zeros(data.channels), torch.full((data.channels,), 1 / 255)
    (x_1CSS,) = augment_ahead(images, drawn, [Rows.on(cpu, np.array([row]))], mean_C, std_C)
    return x_1CSS[0].round().clamp(0, 255).byte().numpy()
