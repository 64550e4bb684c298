"""A whole lineage under a teacher that is no network: every stage reads it as any other."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.files import sha256
from tests.faults.graph import stages
from tests.faults.process import run_all
from tests.labels.answered import npz
from tests.report.pages import parse
from tests.scratch import Scratch

PLAIN = {"family": "plain", "widths": [4, 6]}
COUNT = 1797  # digits


@pytest.mark.long
def test_every_stage_reads_it_and_what_is_not_known_of_it_is_absent(fresh: Scratch, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    scratch = fresh.copy(tmp_path / "repository", tmp_path / "state")
    _, classes_N = load_digits(return_X_y=True)
    logits_NC = np.random.default_rng(0).normal(size=(COUNT, 10)).astype(np.float32)
    logits_NC[np.arange(COUNT), classes_N] += 4
    file = npz(scratch.folder / "answers.npz", {"number": np.arange(COUNT), "logits": logits_NC})
    scratch.edit(
        {
            "teacher": {"answers": {"file": file.name, "sha256": sha256(file), "for_views": "clean"}},
            "edges": {"refinery": "teacher", "compress": "student"},
            "refinery": {"architecture": PLAIN, "generations": 1},
            "born_again": {"architecture": PLAIN},
            "compress": {"order": ["prune", "tune", "quantise"]},
        }
    )
    scratch.stage("plan")
    run_all(stages(scratch.folder), scratch.folder, tmp_path / "state", tmp_path / "log")

    summary = json.loads((scratch.folder / "metrics" / "summary.json").read_text())
    assert summary["test"]["teacher"] > 0.9
    assert summary["shipped"].keys() == {"parameters", "flops", "bytes"}, "nothing to compare size and time with"
    page = parse((scratch.folder / "report.html").read_text())
    assert page.faults == []
    for command in ("summary", "status"):
        assert "imported" in scratch.run(sys.executable, "-m", "pipeline", command)
    assert "── teacher" in scratch.run(sys.executable, "-m", "pipeline", "tree")
