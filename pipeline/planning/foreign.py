"""The spec of a teacher that is no network of ours, and what such a teacher cannot do."""

from typing import Any

from pipeline.base.errors import UserError
from pipeline.config.views import PRESETS, STILL
from pipeline.planning import units
from pipeline.planning.planner import Planner, given
from pipeline.planning.specs.foreign import AnswersFile, AnswersSpec, ForeignSpec, OnnxFile, OnnxSpec
from pipeline.planning.units import code


def teacher(planner: Planner) -> ForeignSpec:
    """Answers in a file, or an ONNX model.

    Raises:
        UserError: Views change images, and it is not said what stands for an answer to a view; or they do not, and it
            is said; or views are mixed, and it would be the answer to a clean image.
    """
    section = planner.params.teacher
    common: dict[str, Any] = {
        "node": "teacher",
        "previous": None,
        "continues_chain": False,
        "has_logits": True,
        "labels": planner.labels(),
        "select": planner.select,
        "images": planner.forward(),
        "code": {"stage": code(units.foreign(section.foreign or ""))},
    }
    if section.onnx:
        file = section.onnx.model_dump(mode="json", exclude={"input"})
        onnx = OnnxFile(**{**file, "classes": section.onnx.classes}, input=given(section.onnx.input))
        return OnnxSpec(**common, onnx=onnx)
    assert section.answers
    _check_views(planner, section.answers.for_views)
    return AnswersSpec(**common, answers=AnswersFile(**section.answers.model_dump()))


def _check_views(planner: Planner, for_views: str | None) -> None:
    views = planner.params.views
    changed = [f"views.{key} is {value}" for key, value in views.changed.items()]
    preset = PRESETS[views.preset]
    off = ["views.preset to none"] if preset else []
    off += [_off(key) for key, value in views.changed.items() if preset.get(key) != value]
    if changed and for_views is None:
        raise UserError(
            f"params.yaml: teacher.answers are of clean images and {' and '.join(changed)}, so that what a student "
            "sees may not be what was answered: set teacher.answers.for_views to own where the file answers each view, "
            f"or to clean to take that risk, or set {' and '.join(off)}"
        )
    if for_views == "clean" and views.mixes:
        raise UserError(
            "params.yaml: teacher.answers.for_views is clean, and views mix images: an answer to one clean image says "
            "nothing of the other half: set it to own and answer the mixed views, or set views.mixup and views.cutmix "
            "to 0.0"
        )
    if for_views and not changed:
        raise UserError(
            f"params.yaml: teacher.answers.for_views is {for_views} and has no effect where all views are the clean "
            "images, as nothing of `views` is on: leave it out"
        )


def _off(key: str) -> str:
    return f"views.{key} to {str(getattr(STILL, key)).lower()}"
