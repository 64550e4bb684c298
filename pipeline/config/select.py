"""The metric that decides, `select` of params.yaml: its direction, its unit and its words stand here and nowhere else.

Nothing here imports torch: a slot that only carries asks whether a chain has stopped. What computes a metric from
logits is its namesake in `evaluation.metrics`.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Select = Literal["accuracy", "balanced_accuracy", "macro_f1", "nll"]


@dataclass(frozen=True)
class Metric:
    """One figure of a network on a split, by which others are chosen.

    name: its key in metrics/<node>.json. words: for a person. rises: whether more is better. factor, form: what a
    figure is multiplied by to be shown, and how it is printed: points with one decimal, nats with three.
    """

    name: Select
    words: str
    rises: bool = True
    factor: int = 100
    form: str = ".1f"

    @property
    def column(self) -> str:
        """Of a learning curve."""
        return f"validation_{self.name}"

    def merit(self, figure: float) -> float:
        """The figure where more is better, else its negative: of two figures the better one has more merit."""
        return figure if self.rises else -figure

    def shown(self, figure: float, sign: str = "") -> str:
        """The figure, or with `sign` "+" a difference of figures, as a person reads it."""
        return format(self.factor * figure, f"{sign}{self.form}")

    def interval(self, mean: float, low: float, high: float) -> str:
        """A difference of figures with the ends of its interval."""
        return f"{self.shown(mean, '+')} [{self.shown(low, '+')}, {self.shown(high, '+')}]"

    def named(self, figure: float) -> str:
        """As `shown`, with the metric's name where that does not go without saying."""
        return self.shown(figure) if self is ACCURACY else f"{self.words} {self.shown(figure)}"


ACCURACY = Metric("accuracy", "accuracy")
METRICS: dict[str, Metric] = {
    each.name: each
    for each in (
        ACCURACY,
        Metric("balanced_accuracy", "balanced accuracy"),
        Metric("macro_f1", "macro F1"),
        Metric("nll", "NLL", rises=False, factor=1, form=".3f"),
    )
}
assert (*METRICS,) == get_args(Select)


def metric_of(select: str | None) -> Metric:
    """The metric of that name; specs and nodes leave accuracy out."""
    return METRICS[select or ACCURACY.name]


def without_accuracy(record: dict[str, Any]) -> dict[str, Any]:
    """A record that leaves out `select` where that is accuracy, as specs and nodes do."""
    return {key: value for key, value in record.items() if key != "select" or value is not None}
