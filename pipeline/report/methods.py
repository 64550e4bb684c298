"""Every network of the student's kind against the baseline, image by image of the test split."""

from dataclasses import dataclass

from pipeline.evaluation.statistics import Paired, paired_shares, unpaired_shares
from pipeline.report.run import Entry, Reported
from pipeline.report.section import PageSection
from pipeline.report.svg import around
from pipeline.report.words import counted, listed, percent

BASE = "baseline"


@dataclass(frozen=True)
class Comparison:
    """One network beside the baseline.

    only_it, only_base: test images that one of the two alone gets right; None where answers are not looked at one by
    one. difference: of the accuracies.
    """

    name: str
    family: str
    test: float
    agreement: float | None
    only_it: int | None
    only_base: int | None
    difference: Paired

    @property
    def label(self) -> str:
        """Its name in a table of methods."""
        return self.name.removeprefix("method/")

    @property
    def verdict(self) -> str:
        """better or worse where the interval leaves zero, else open."""
        low, high = self.difference.interval or (0.0, 0.0)
        return "better" if low > 0 else "worse" if high < 0 else "open"


def arms(run: Reported) -> list[Comparison]:
    """All networks with the baseline's architecture, the best first; none where there is no baseline."""
    base = run.find(BASE)
    if base is None:
        return []
    of_its_kind = [
        entry for entry in run.answering if entry.name != BASE and entry.node.architecture == base.node.architecture
    ]
    return sorted((_arm(run, entry) for entry in of_its_kind), key=lambda arm: -arm.difference.mean)


def _arm(run: Reported, entry: Entry) -> Comparison:
    agreement, count = entry.metrics.get("teacher", {}).get("agreement"), len(run.y_N)
    only_it = only_base = None
    if run.answered(entry.name) and run.answered(BASE):
        it_N, base_N = run.right(entry.name), run.right(BASE)
        only_it, only_base = int((it_N & ~base_N).sum()), int((base_N & ~it_N).sum())
        difference = paired_shares(only_it, only_base, count)
    else:
        own, base = (round((each.test or 0.0) * count) for each in (entry, run.entries[BASE]))
        difference = unpaired_shares(own, base, count)
    return Comparison(entry.name, entry.family, entry.test or 0.0, agreement, only_it, only_base, difference)


def section(run: Reported) -> PageSection | None:
    """The table, or None where nothing can be compared."""
    found = arms(run)
    if not found:
        return None
    better = [arm.label for arm in found if arm.verdict == "better"]
    worse = [arm.label for arm in found if arm.verdict == "worse"]
    count = len(run.y_N)
    lead = f"{counted(len(found), 'network')} of the student's architecture beside the same one on hard labels."
    lead += f" Above it by more than chance among images: {listed(better)}." if better else ""
    lead += f" Below it: {listed(worse)}." if worse else ""
    lead += "" if better or worse else " No difference is larger than chance among images may make it."
    paired = found[0].only_it is not None
    how = "paired, image by image" if paired else "as if on different images, which makes it wider: there are many"
    ends = [end for arm in found for end in arm.difference.interval or ()]
    low, high = around([0.0, *ends], 0.02)
    base = run.entries[BASE]
    return PageSection(
        "methods",
        "Method by method",
        lead,
        {
            "arms": found,
            "paired": paired,
            "low": low,
            "high": high,
            "base": f"{percent(base.test or 0)}",
            "caption": (
                f"Difference of test accuracy to the baseline, in points, with its 95 % interval over the {count:,} "
                f"test images ({how}; one image is {100 / count:.2g} points). It says how sure "
                "the difference is for other images, and nothing of other seeds: for those, python -m pipeline study. "
                f"Of {counted(len(found), 'interval')}, one in twenty leaves zero by chance alone."
            ),
        },
    )
