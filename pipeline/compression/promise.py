"""What a file that ships promises of images that it has not seen, and what that is proven with.

Validation is cut in two: the temperature comes from the first half, what is promised from the second, where images come
in groups from one of each. Test, of which nothing is chosen, stands beside it. Neither half is quite fresh: networks of
the chain were chosen by both.

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
    select: str | None = None


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
    cut = halves(DATA, data.validation)
    first, second, apart = (whole["validation"][torch.from_numpy(each)] for each in (cut.first, cut.second, cut.apart))
    test = whole["test"]
    if len(apart.y_N) < len(second.y_N) and (asked.max_drop or asked.error):
        log(
            f"the {len(second.y_N):,} images of {HALF} come in {len(apart.y_N):,} groups or as copies: what is "
            "promised is proven with one image of each"
        )
    gate = _gate(asked, apart, test)
    # As the file holds it.
    degree = float(np.float32(temperature.fit(first.own_NC, first.y_N)))
    shown = {"validation": second, "test": test}
    calibration = {name: _calibration(each, degree) for name, each in shown.items() if len(each.y_N)}
    told: dict[str, Any] = {"temperature": degree, "fitted_on": len(first.y_N), "calibration": calibration}
    log(f"temperature {degree:.3g}, of {len(first.y_N):,} images of validation; {_words(calibration)}")
    card = replace(card, temperature=degree)
    if asked.error is not None:
        found = _answering(asked, asked.error, apart, degree)
        told["abstain"] = _abstain(found, apart, test, degree)
        card = replace(card, error=found.error, threshold=found.threshold)
    return card, told | gate


def _gate(asked: Demand, second: _Half, test: _Half) -> dict[str, Any]:
    if asked.max_drop is None:
        return {}
    _check_units(f"{asked.where}.max_drop is {asked.max_drop:g}", second)
    flips = _flips(second)
    try:
        log(verdict(flips, "the file", asked.max_drop))
    except NotProven as error:
        raise UserError(
            f"params.yaml: {asked.where}.max_drop is {asked.max_drop:g}, and {error} in {HALF}, beside the teacher: "
            "allow a larger drop, or null for any"
        ) from None
    if asked.select not in (None, "accuracy"):
        log(f"max_drop is of accuracy, and select is {asked.select}: compare that, too")
    on_test = _flips(test)
    said = {"images": flips.count, "lost": flips.lost, "won": flips.won, "most": flips.most}
    return {"gate": {"max_drop": asked.max_drop, **said, "test_drop": on_test.drop}}


def _check_units(key: str, second: _Half) -> None:
    if not len(second.y_N):
        raise UserError(
            f"params.yaml: {key}, and nothing can be proven by images of one group, or by copies of one image, as all "
            "of validation are: validate with others, or set it to null"
        )


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
    key, least, count = f"{asked.where}.abstain.error is {error:g}", abstaining.fewest(error), len(second.y_N)
    _check_units(key, second)
    if count < least:
        raise UserError(
            f"params.yaml: {key}: that takes {least:,} images in {HALF} at least, each of a group of its own, and "
            f"there are {count:,}: validate with about {4 * least:,} images, allow a larger error, or set abstain to "
            "null"
        )
    sure_N, right_N = _confidence(second, degree)
    if found := abstaining.promise(sure_N, right_N, error):
        return found
    first = next(abstaining.tries(sure_N, right_N, error))
    raise UserError(
        f"params.yaml: {key}: of the {first.answered:,} images of {HALF} that it is surest of {first.wrong:,} are "
        "wrong, which is too many: allow a larger error, or set abstain to null"
    )


def _abstain(found: abstaining.Promise, second: _Half, test: _Half, degree: float) -> dict[str, Any]:
    sure_N, right_N = _confidence(test, degree)
    answered_N = sure_N >= found.threshold
    count = int(answered_N.sum())
    share, on_test = found.answered / len(second.y_N), count / len(test.y_N)
    wrong = 1 - float(right_N[answered_N].mean()) if count else 0.0
    log(
        f"answers {100 * share:.1f} % of images, those that are at least {100 * found.threshold:.6g} % sure, and "
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
    """The probability of its answer, float64, and whether that is right, bool; (N,)."""
    return temperature.surest(of.own_NC, degree).numpy(), (of.own_NC.argmax(1) == of.y_N).numpy()
