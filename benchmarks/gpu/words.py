"""What the check leaves: a line a finding as it comes, the same as JSON, and at the end what does not work."""

import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.finding import Finding
from pipeline.base.files import write_json, write_text
from pipeline.console.progress import log

STATES = ("right", "wrong", "measured", "not run")
HEADER = f"{'':8} {'part':10} {'what':52} {'found':>18} {'bound':>12}"


class Report:
    """Two files, JSON at `out` and the table beside it, whole after each finding: a run that is cut keeps them.

    Args:
        out: Where the JSON goes.
        facts: What was asked for, the machine, and in words what computes (`on`).
    """

    def __init__(self, out: Path, facts: dict[str, Any]) -> None:
        self.out = out
        self.facts = facts
        self.began = time.monotonic()
        self.findings: list[Finding] = []
        self.at: list[float] = []
        self.lines: list[str] = []
        self._say(facts["on"])
        self._say(HEADER)

    def add(self, finding: Finding) -> None:
        """Print and write one."""
        self.findings.append(finding)
        self.at.append(self._seconds())
        self._say(line(finding))
        self._write(finished=False)

    def end(self) -> bool:
        """Print what does not work; whether nothing is wrong."""
        counts = self.counts()
        self._say("")
        for sentence in sentences(self.findings):
            self._say(sentence)
        self._say(", ".join(f"{counts[state]} {state}" for state in STATES) + f" in {self._seconds():.0f} s")
        self._write(finished=True)
        return not counts["wrong"]

    def counts(self) -> dict[str, int]:
        """How many findings are right, wrong, measured, not run."""
        counted = Counter(finding.state for finding in self.findings)
        return {state: counted[state] for state in STATES}

    def _say(self, words: str) -> None:
        self.lines.append(words)
        log(words)

    def _seconds(self) -> float:
        return round(time.monotonic() - self.began, 1)

    def _write(self, finished: bool) -> None:
        value = {
            "benchmark": "gpu",
            **self.facts,
            "finished": finished,
            "seconds": self._seconds(),
            "counts": self.counts(),
            "what does not work": sentences(self.findings),
            "findings": [
                {**asdict(finding), "state": finding.state, "at": at}
                for finding, at in zip(self.findings, self.at, strict=True)
            ],
        }
        write_json(self.out, value)
        write_text(self.out.with_suffix(".txt"), "\n".join(self.lines) + "\n")


def line(finding: Finding) -> str:
    """One line of the table."""
    value = "" if finding.value is None else f"{number(finding.value)}{finding.unit}"
    bound = "" if finding.bound is None else f"{'≤' if finding.most else '≥'} {number(finding.bound)}"
    cells = f"{finding.state:8} {finding.part:10} {finding.name:52} {value:>18} {bound:>12}"
    return f"{cells}  {finding.sentence}".rstrip()


def number(value: float) -> str:
    """As short as it can be read."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == 0 else f"{value:.3g}"


def sentences(findings: list[Finding]) -> list[str]:
    """What does not work, and how much was not run, in plain words."""
    wrong = [each for each in findings if each.state == "wrong"]
    left = Counter(each.part for each in findings if each.state == "not run")
    found = [f"WRONG: {each.part}, {each.name}: {_why(each)}" for each in wrong] or ["Nothing that ran is wrong."]
    return found + [f"Not run: {count} of {part}." for part, count in left.items()]


def _why(finding: Finding) -> str:
    if finding.value is None or finding.bound is None:
        return finding.sentence
    side = "above" if finding.most else "below"
    measured = f"{number(finding.value)}{finding.unit} is {side} the bound of {number(finding.bound)}."
    return f"{measured} {finding.sentence}".rstrip()
