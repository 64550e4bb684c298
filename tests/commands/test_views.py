"""What a teacher elsewhere is to answer: the very views that a student sees, named as answers are to be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.commands import views
from pipeline.config import params
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.planning.specs.spec import write_specs
from pipeline.training import foreign, onnx_teacher
from tests.labels.answered import npz
from tests.planning.test_foreign import WITHOUT_NETWORK
from tests.training.runs import inside, planned
from tests.training.test_foreign import model, specs_of

ZEROS = {"file": "answers.npz", "sha256": "0" * 64}


def workspace(folder: Path, **answers: Any) -> None:
    """Prepared digits under a plan whose teacher is a file that is not there yet."""
    write_specs(planned(folder, {**WITHOUT_NETWORK, "teacher": {"answers": {**ZEROS, **answers}}}), PLAN)
    DATA.parent.mkdir(parents=True)
    prepare(params.read(folder / "params.yaml").data, folder, 0, DATA, origins=True)


def labels() -> list[torch.Tensor]:
    """Of the teacher of the current folder, view by view."""
    data, teacher = prepared.read(DATA), node.read("teacher")
    recorded = teacher.hashes["labels"]
    described = json.loads((teacher.labels / "labels.json").read_text())["view_spec"]
    found = open_labels(teacher.labels, recorded=recorded, data_hash=data.hash, views=described, classes=data.classes)
    return [found.view(v) for v in range(found.views + 1)]


def test_a_model_that_answers_them_elsewhere_teaches_as_it_does_here(tmp_path: Path) -> None:
    with inside(tmp_path):
        workspace(tmp_path, for_views="own")
        files = [np.load(path) for path in views.write(tmp_path / "views")]
        assert [file["view"].max() for file in files] == [0, 1, 2]
        assert [len(file["images"]) for file in files] == [100 + 360 + 359, 100, 100]
        path, weights = model(tmp_path / "a.onnx")
        rows = {key: np.concatenate([file[key] for file in files]) for key in ("number", "view")}
        rows["logits"] = np.concatenate([file["images"].reshape(len(file["images"]), -1) @ weights.T for file in files])
        answers = npz(tmp_path / "answers.npz", {**rows, "view_spec": files[0]["view_spec"]})
        foreign.take(specs_of(tmp_path, answers, for_views="own")["teacher"])
        elsewhere = labels()
        pixels = {"mean": [0.0], "std": [1.0]}
        onnx_teacher.take(specs_of(tmp_path, path, "onnx", input=pixels)["teacher"])
        for here, there in zip(labels(), elsewhere, strict=True):
            torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)
        assert not torch.equal(elsewhere[1], elsewhere[2])


def test_clean_answers_are_asked_for_clean_images_only(tmp_path: Path) -> None:
    with inside(tmp_path):
        workspace(tmp_path, for_views="clean")
        assert [path.name for path in views.write(tmp_path / "views")] == ["view_000.npz"]


def test_without_answers_in_the_plan_it_is_told_what_to_set(tmp_path: Path) -> None:
    with inside(tmp_path):
        write_specs(planned(tmp_path), PLAN)
        with pytest.raises(UserError, match=r"teacher.answers is not given, and says how views are to be answered"):
            views.write(tmp_path / "views")
