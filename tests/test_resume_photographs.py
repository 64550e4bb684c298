"""Photographs, views with all operations, mixed: killed at ten moments from `prepare` to the student, the same bytes.

Teacher and student are shown images at sizes of their own, from one store.
"""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.data.folders import folder
from tests.scratch import Scratch, create
from tests.test_resume import STEP, ended, results, struck

pytestmark = pytest.mark.long

VIEWS = {
    "preset": "strong",
    "shift": 2,
    "hue": 0.1,
    **dict.fromkeys(("brightness", "contrast", "saturation"), 0.4),
    **dict.fromkeys(("mixup", "cutmix"), 0.5),
}
PARAMS: dict[str, Any] = {
    "data": {"source": "imagefolder", "size": 24, "storage": "encoded", "per_class": None},
    "views": VIEWS,
    "labels": {"views": 3},
    "training": {"epochs": 3, "batch_size": 16},
    "teacher": {"recipe": {"epochs": 3}, "input": {"size": 32}},
    "student": {"recipe": {"epochs": 3}},
    "direct": {"recipe": {"epochs": 3}},
    "assistant": {"links": 0},
    "method": {},
    "machine": {"state_every": 0},
}
# A function, and before which of its calls the stage is killed, one after the other.
MOMENTS = {
    "prepare": [
        ("pipeline.data.encoding:read", 9),
        ("pipeline.data.encoding:read", 30),
        ("pipeline.data.prepare:write_sealed", 1),
    ],
    "teacher": [
        ("pipeline.data.pictures:retouched", 20),
        (STEP, 2),
        (STEP, 3),
        ("pipeline.labels.parts:view_path", 2),
    ],
    "direct": [(STEP, 3), ("pipeline.data.pictures:retouched", 40), (STEP, 2)],
}


@pytest.fixture
def planned(tmp_path: Path) -> Scratch:
    scratch = create(tmp_path / "repository")
    root = folder(tmp_path / "photographs", {"a": 40, "b": 40}, size=(45, 36))
    scratch.edit({**PARAMS, **dict.fromkeys(("refinery", "born_again", "mutual", "compress"))})
    scratch.edit({"data": {"root": str(root)}})
    scratch.stage("plan")
    return scratch


def test_killed_at_ten_moments_the_student_is_the_same(planned: Scratch, tmp_path: Path) -> None:
    whole = planned.copy(tmp_path / "whole", tmp_path / "its state")
    for node in MOMENTS:
        whole.stage(node)
    said = []
    for node, moments in MOMENTS.items():
        for function, call in moments:
            status, words = ended(struck(planned, function, call, "SIGKILL", node))
            assert status == -signal.SIGKILL, f"{node} before call {call} of {function}:\n{words}"
            said.append(words)
        said.append(planned.run(sys.executable, "-m", "stages", node))
    assert sum(map(len, MOMENTS.values())) == 10
    assert sum("going on" in words for words in said) >= 5, "work was kept"
    assert planned.hashes("data") == whole.hashes("data")
    for node in ("teacher", "direct"):
        assert results(planned, node) == results(whole, node)
