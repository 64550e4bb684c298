"""What a file that ships promises of images that it has not seen, and what that is proven with.

Validation is cut in two: the temperature comes from the first half, what is promised from the second. Test, of which
nothing is chosen, stands beside it. Neither half is quite fresh: networks of the chain were chosen by both.

Legend: N images of a split, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.compression.card import Card
from pipeline.console.progress import log
from pipeline.data.halves import halves
from pipeline.data.prepared import Prepared
from pipeline.evaluation import abstaining, temperature
from pipeline.evaluation.flips import Flips
from pipeline.evaluation.gate import NotProven, verdict
from pipeline.evaluation.metrics import ece, nll

HALF = "the second half of validation"


@dataclass(frozen=True)
class Demand:
    """What params.yaml asks of a file: the drop below the teacher that it may have, the error of what it answers."""

    where: str
    max_drop: float | None = None
    error: float | None = None


@dataclass(frozen=True, eq=False)
class _Half:
    """Some images: the logits of the file and of the teacher, float32 (N, C), and their classes, int64 (N,)."""

    own_NC: Tensor
    teacher_NC: Tensor
    y_N: Tensor

    def __getitem__(self, rows: Tensor) -> _Half:
        return _Half(self.own_NC[rows], self.teacher_NC[rows], self.y_N[rows])


def promised(
    asked: Demand, card: Card, logits: Mapping[str, Tensor], teacher: Mapping[str, Tensor], data: Prepared
) -> tuple[Card, dict[str, Any]]:
    """The card of a file with its temperature and the probability from which on it answers; and what there is to say.

    Args:
        asked: What is asked of it.
        card: As it is before.
        logits, teacher: Of the file, and of the teacher, by split.

    Raises:
        UserError: What is asked is not proven; what would prove it stands there.
    """
    whole = {
        split: _Half(logits[split], teacher[split], torch.from_numpy(getattr(data, split).labels.copy()))
        for split in ("validation", "test")
    }
    first, second = (whole["validation"][torch.from_numpy(rows)] for rows in halves(DATA, data.validation))
    test = whole["test"]
    gate = _gate(asked, second, test)
    # As the file holds it.
    degree = float(np.float32(temperature.fit(first.own_NC, first.y_N)))
    shown = {"validation": second, "test": test}
    calibration = {name: _calibration(each, degree) for name, each in shown.items() if len(each.y_N)}
    told: dict[str, Any] = {"temperature": degree, "fitted_on": len(first.y_N), "calibration": calibration}
    log(f"temperature {degree:.3g}, of {len(first.y_N):,} images of validation; {_words(calibration)}")
    card = replace(card, temperature=degree)
    if asked.error is not None:
        found = _answering(asked, asked.error, second, degree)
        told["abstain"] = _abstain(found, second, test, degree)
        card = replace(card, error=found.error, threshold=found.threshold)
    return card, told | gate


def _gate(asked: Demand, second: _Half, test: _Half) -> dict[str, Any]:
    if asked.max_drop is None:
        return {}
    if not len(second.y_N):
        raise UserError(
            f"params.yaml: {asked.where}.max_drop is {asked.max_drop:g}, and nothing can be proven by images of one "
            "group, or by copies of one image, as all of validation are: validate with others, or set it to null"
        )
    flips = _flips(second)
    try:
        log(verdict(flips, "the file", asked.max_drop))
    except NotProven as error:
        raise UserError(
            f"params.yaml: {asked.where}.max_drop is {asked.max_drop:g}, and {error} (compared with the teacher on "
            f"{HALF}): allow a larger drop, or null for any"
        ) from None
    on_test = _flips(test)
    said = {"images": flips.count, "lost": flips.lost, "won": flips.won, "most": flips.most}
    return {"gate": {"max_drop": asked.max_drop, **said, "test_drop": on_test.drop}}


def _flips(of: _Half) -> Flips:
    own_N, teacher_N = of.own_NC.argmax(1) == of.y_N, of.teacher_NC.argmax(1) == of.y_N
    return Flips(len(of.y_N), int((teacher_N & ~own_N).sum()), int((own_N & ~teacher_N).sum()))


def _calibration(of: _Half, degree: float) -> dict[str, float]:
    warm_NC = of.own_NC.double() / degree
    before, after = ((ece(z_NC, of.y_N), nll(z_NC, of.y_N)) for z_NC in (of.own_NC, warm_NC))
    names = ("ece", "nll", "ece_with_temperature", "nll_with_temperature")
    return {"images": len(of.y_N), **dict(zip(names, before + after, strict=True))}


def _words(calibration: Mapping[str, Mapping[str, float]]) -> str:
    """Of the images that it was not fitted on."""
    names = {"validation": "the other images of validation", "test": "test"}
    return "; ".join(
        f"on {names[name]} its ECE is {100 * each['ece_with_temperature']:.2f} %, without it {100 * each['ece']:.2f} %"
        for name, each in calibration.items()
    )


def _answering(asked: Demand, error: float, second: _Half, degree: float) -> abstaining.Promise:
    """Which images are answered."""
    key, least, count = (
        f"params.yaml: {asked.where}.abstain.error is {error:g}",
        abstaining.fewest(error),
        len(second.y_N),
    )
    if count < least:
        raise UserError(
            f"{key}: that takes {least:,} images in {HALF} at least, and there are {count:,}: validate with about "
            f"{4 * least:,} images, allow a larger error, or set abstain to null"
        )
    sure_N, right_N = _confidence(second, degree)
    if found := abstaining.promise(sure_N, right_N, error):
        return found
    wrong = int((~right_N[np.argsort(-sure_N, kind="stable")[:least]]).sum())
    raise UserError(
        f"{key}: of the {least:,} images of {HALF} that it is surest of {wrong} are wrong, and one may be: allow a "
        "larger error, or set abstain to null"
    )


def _abstain(found: abstaining.Promise, second: _Half, test: _Half, degree: float) -> dict[str, Any]:
    sure_N, right_N = _confidence(test, degree)
    answered_N = sure_N >= found.threshold
    count = int(answered_N.sum())
    share, on_test = found.answered / len(second.y_N), count / len(test.y_N)
    wrong = 1 - float(right_N[answered_N].mean()) if count else 0.0
    log(
        f"answers {100 * share:.1f} % of images, those that are at least {100 * found.threshold:.1f} % sure, and "
        f"{100 * found.error:g} % of the answers are wrong at most (95 % confidence, by {found.answered:,} images of "
        f"{HALF}, {found.wrong:,} wrong); of test {100 * on_test:.1f} %, {100 * wrong:.2f} % wrong"
    )
    said = {"answered": found.answered, "wrong": found.wrong, "share": share}
    return {
        "error": found.error,
        "threshold": found.threshold,
        "validation": said,
        "test": {"answered": count, "wrong": int((~right_N[answered_N]).sum()), "share": on_test},
    }


def _confidence(of: _Half, degree: float) -> tuple[np.ndarray, np.ndarray]:
    """As the file gives it, float32, and whether it is right, bool; (N,)."""
    return temperature.surest(of.own_NC, degree).float().numpy(), (of.own_NC.argmax(1) == of.y_N).numpy()
