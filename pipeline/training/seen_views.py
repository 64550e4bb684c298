"""Which views a network is trained on: of which stream, and after how many they come again. Nothing here imports torch.

Both follow from the node that teaches and from the number of images, so the stage fills them in, where it knows them.
"""

from dataclasses import replace
from typing import TypeVar

from pipeline.base.errors import UserError
from pipeline.data.streams import TRAIN
from pipeline.labels.layout import distinct_views
from pipeline.lineage import node
from pipeline.planning.specs.training import (
    LabelSettings,
    TrainingSettings,
    TrainingSpec,
    TrainSpec,
    TuneSettings,
)

AnyTrainingSpec = TypeVar("AnyTrainingSpec", bound=TrainingSpec)


def with_seen_views(spec: AnyTrainingSpec, count: int, classes: int) -> AnyTrainingSpec:
    """The spec with the stream that it is trained on, and with `distinct_views` where its epochs are more than those.

    count, classes: of the training images. Idempotent.

    Raises:
        UserError: The teacher's node does not name the stream that it labels, or not even one view may be stored.
    """
    stream = spec.training.stream or _taught_stream(spec)
    is_unlimited = isinstance(spec, TrainSpec) and spec.unlimited is not None
    distinct = None if stream == TRAIN or is_unlimited else limit(spec, count, classes)
    return replace(spec, training=replace(spec.training, stream=stream, distinct_views=distinct))


def limit(spec: TrainingSpec, count: int, classes: int) -> int | None:
    """The number of distinct views of every arm of a comparison; None where the epochs of `spec` are no more."""
    views = held(spec.labels, count, classes)
    return views if views < last_view(spec.training) else None


def last_view(training: TrainingSettings | TuneSettings) -> int:
    """The last view of a training where none comes twice."""
    return (training.views_before or 0) + training.recipe["epochs"]


def seen(training: TrainingSettings | TuneSettings) -> range:
    """The distinct views that a training sees, of the stream that it is trained on."""
    if training.distinct_views:
        return range(1, 1 + training.distinct_views)
    return range(1 + (training.views_before or 0), 1 + last_view(training))


def held(labels: LabelSettings, count: int, classes: int) -> int:
    """The number of distinct views that these settings allow."""
    form = {"kind": labels.kind, "k": labels.k, "rank": labels.rank}
    return distinct_views(count, classes, asked=labels.distinct, max_bytes=labels.max_bytes, **form)


def _taught_stream(spec: TrainingSpec) -> str:
    assert spec.teacher is not None
    teacher = node.read(spec.teacher)
    if teacher.labels_stream is None:
        raise UserError(f"{teacher.folder}/node.json does not name the views that it labels: run `dvc repro`")
    return teacher.labels_stream
