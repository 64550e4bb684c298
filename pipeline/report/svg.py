"""Charts as inline SVG: elements, scales, axes, where labels go.

Colours come from the page's style sheet, so that they follow its theme. Every text passes through `shown` of
`report.section`: class names come from folders of strangers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from pipeline.report.section import shown
from pipeline.report.words import percent


def tag(name: str, *children: Markup | str, **attributes: object) -> Markup:
    """One element; `class_` is the class, `stroke_width` the attribute stroke-width; None is left out."""
    parts = []
    for key, value in attributes.items():
        if value is not None:
            text = f"{value:.4g}" if isinstance(value, float) and abs(value) < 1 else value
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) and abs(value) >= 1 else text
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown(text))}"')
    inner = Markup("").join(escape(shown(child)) for child in children)
    return Markup("<{}{}>{}</{}>").format(Markup(name), Markup("".join(parts)), inner, Markup(name))


def picture(key: str, width: float, height: float, title: str, description: str, *children: Markup) -> Markup:
    """A whole chart: title and description are for screen readers; `key` is its own on the page."""
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-desc"),
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        class_="chart",
    )


def text(x: float, y: float, content: str, class_: str | None = None, anchor: str | None = None) -> Markup:
    """A label whose baseline starts (or ends, or is centred) at (x, y)."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, **attributes: object) -> Markup:
    """A rectangle whose upper left corner is (x, y)."""
    return tag("rect", x=x, y=y, width=width, height=height, class_=class_, **attributes)


def dot(x: float, y: float, radius: float, class_: str, *children: Markup) -> Markup:
    """A circle."""
    return tag("circle", *children, cx=x, cy=y, r=radius, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, opacity: float | None = None) -> Markup:
    """A line through points."""
    steps = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    return tag("path", d=steps, class_=class_, opacity=opacity)


@dataclass(frozen=True)
class Scale:
    """From values to pixels: `low` lies at `start`, `high` at `end`; by their logarithm where `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the scale, at most `most` or so."""
        if self.log:
            decades = [10.0**e for e in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)]
            steps = (1, 2, 5) if len(decades) <= 3 else (1,)
            found = [d * s for d in decades for s in steps if self.low <= d * s <= self.high]
            return found[:: max(1, math.ceil(len(found) / most))]
        step = nice((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice(rough: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= rough * (1 - 1e-9))


def around(
    values: Sequence[float], least: float, low: float = -math.inf, high: float = math.inf
) -> tuple[float, float]:
    """A range with a margin about values, at least `least` wide, within `low` to `high`."""
    bottom, top = min(values), max(values)
    margin = max(0.06 * (top - bottom), (least - (top - bottom)) / 2)
    return max(low, bottom - margin), min(high, top + margin)


@dataclass(frozen=True)
class Frame:
    """The space of a chart within its axes."""

    width: float
    height: float
    left: float = 38
    right: float = 12
    top: float = 14
    bottom: float = 34

    def x(self, low: float, high: float, log: bool = False) -> Scale:
        """The horizontal scale."""
        return Scale(low, high, self.left, self.width - self.right, log)

    def y(self, low: float, high: float) -> Scale:
        """The vertical scale, upwards."""
        return Scale(low, high, self.height - self.bottom, self.top)

    def rows(self, scale: Scale, words: Sequence[tuple[float, str]]) -> Markup:
        """Horizontal grid lines with their values at the left."""
        parts = []
        for value, word in words:
            y = scale(value)
            parts += [
                line(self.left, y, self.width - self.right, y, "grid"),
                text(self.left - 7, y + 3.5, word, "tick", "end"),
            ]
        return Markup("").join(parts)

    def shares(self, scale: Scale) -> Markup:
        """Rows of accuracies, in per cent."""
        digits = 0 if scale.high - scale.low > 0.04 else 1
        return self.rows(scale, [(tick, percent(tick, digits)) for tick in scale.ticks()])

    @property
    def floor(self) -> float:
        """Where the horizontal axis lies."""
        return self.height - self.bottom

    @property
    def edge(self) -> float:
        """Where the horizontal axis ends."""
        return self.width - self.right

    def columns(self, scale: Scale, words: Sequence[tuple[float, str]], title: str = "") -> Markup:
        """Values below the horizontal axis, and what they are."""
        base = self.floor
        parts = [line(self.left, base, self.width - self.right, base, "axis")]
        for value, word in words:
            parts += [
                line(scale(value), base, scale(value), base + 4, "axis"),
                text(scale(value), base + 16, word, "tick", "middle"),
            ]
        if title:
            parts.append(text(self.width - self.right, base + 30, title, "tick", "end"))
        return Markup("").join(parts)


def placed(
    points: Sequence[tuple[float, float, str]], width: float, height: float, size: float = 6.0
) -> list[tuple[float, float, str] | None]:
    """Where the label of each point goes so that labels hide neither points nor each other: (x, y, anchor) or None.

    Greedy, in the given order; a label for which there is no room is left out. `size`: width of a letter.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y, _ in points]
    found: list[tuple[float, float, str] | None] = []
    for x, y, label in points:
        length = size * len(label)
        found.append(None)
        for dx, dy, anchor in ((8, 4, "start"), (-8, 4, "end"), (0, -8, "middle"), (0, 16, "middle")):
            left = x + dx - {"start": 0, "end": length, "middle": length / 2}[anchor]
            box = (left, y + dy - 10, left + length, y + dy + 3)
            inside = box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height
            if inside and not any(_touch(box, other) for other in taken):
                taken.append(box)
                found[-1] = (x + dx, y + dy, anchor)
                break
    return found


def spread(heights: Sequence[float], gap: float = 13.0) -> list[float]:
    """The heights moved apart, so that labels at the ends of lines do not overlap; their order stays."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    found = list(heights)
    for before, i in pairwise(order):
        found[i] = max(found[i], found[before] + gap)
    # What was pushed down goes back up by half, so that the labels stay about their lines.
    shift = sum(found) / len(found) - sum(heights) / len(heights) if heights else 0.0
    return [each - shift for each in found]


def _touch(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
