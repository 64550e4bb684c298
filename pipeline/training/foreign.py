"""A teacher that is no network: answers that were computed elsewhere become a node with predictions and labels.

Students, comparisons and the report read it as any other; what needs a network (a live teacher, features, weights to
begin with) plan has refused. What it costs to run is not known, and is left out.
"""

from pathlib import Path

from pipeline.base import files
from pipeline.base.paths import DATA
from pipeline.config.select import metric_of
from pipeline.config.views import Views
from pipeline.console.progress import log
from pipeline.data import prepared
from pipeline.data.origins import read_origins
from pipeline.data.prepared import Prepared
from pipeline.data.streams import to_label
from pipeline.data.views import describe
from pipeline.labels.answers import Answers, match, our_views
from pipeline.labels.columns import read_columns
from pipeline.labels.given import write_given
from pipeline.labels.layout import choose
from pipeline.labels.store import LabelsHeader
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.predictions import write_predictions
from pipeline.planning.specs.foreign import AnswersSpec
from pipeline.training.export import numbers
from pipeline.training.given import given_file
from pipeline.training.labelling import kept_parts
from pipeline.training.seen_views import held

STREAM = to_label(())  # it was trained on no views of ours
KEY = "teacher.answers.file of params.yaml"


def take(spec: AnswersSpec) -> None:
    """Write the node of the answers that `spec` names.

    Raises:
        UserError: The file is missing, another than its SHA-256 says, damaged, or does not answer each image once.
    """
    data = prepared.read(DATA)
    given = spec.answers
    path = given_file(given.file, given.sha256, "teacher.answers")
    where = f"{path} ({KEY})"
    views = min(spec.labels.views, held(spec.labels, len(data.train), len(data.classes)))
    seed, count = spec.forward.views_seed, len(data.train)
    described = describe(Views(**spec.forward.views), seed, STREAM, count, data.renderer)
    origins = read_origins(DATA, data.hash)
    asked = views if given.for_views == "own" else 0
    answers = match(read_columns(path, where), origins, data.classes, asked, our_views(described, data.hash), where)
    header = LabelsHeader(
        teacher=spec.node,
        teacher_hash=given.sha256,
        data_hash=data.hash,
        view_spec=described,
        classes=data.classes,
        count=len(data.train),
        views=views,
        format=choose(len(data.classes), "float32", spec.labels.kind, spec.labels.k, spec.labels.rank),
    )
    logits = {split: answers.split(split) for split in ("validation", "test")}
    with node.writing(spec.node) as folder:
        hashes = {"predictions": write_predictions(folder, logits), "labels": _label(spec, answers, header, folder)}
        found = numbers(data, logits, None)
        made = Node(
            spec.node,
            "imported",
            tuple(hashes),
            chain=((spec.node, found["validation"][metric_of(spec.select).name]),),
            select=spec.select,
            hashes=hashes,
            labels_stream=STREAM,
            labels_of="clean" if given.for_views == "clean" else None,
        )
        node.write(folder, made)
    node.write_numbers(spec.node, {"status": "imported", **found, "cost": {"training_seconds": 0.0}}, EMPTY_CURVE)
    _tell(spec, answers, data, views)


def _label(spec: AnswersSpec, answers: Answers, header: LabelsHeader, folder: Path) -> str:
    labels = folder / "labels"
    labels.mkdir()
    # No hardware has a part in them: they go on on any machine.
    key = files.digest([header.as_json(), spec.answers.for_views, spec.code])
    with kept_parts(spec.node, key, {}) as parts:
        return write_given(answers.rows, header, labels, parts)


def _tell(spec: AnswersSpec, answers: Answers, data: Prepared, views: int) -> None:
    """In one line, what was taken and what was not."""
    own = spec.answers.for_views == "own"
    said = [f"answers to {views} views of {len(data.train):,} images" if own else "answers to clean images"]
    if answers.unused:
        said.append(f"{answers.unused:,} rows that nobody asks for are not used")
    if answers.left_out:
        said.append(f"{answers.left_out:,} classes that are none of the data's are left out")
    log(f"{spec.node}: {'; '.join(said)}")
