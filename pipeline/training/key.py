"""What decides the result of a training: the key of its saved state. Nothing here imports torch."""

from typing import Any

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.labels.layout import HEADER
from pipeline.labels.mapped import remedy
from pipeline.lineage import node
from pipeline.planning.specs.training import TrainingSpec
from pipeline.training.seen_views import seen

Lineage = tuple[dict[str, str], ...]


def of_teacher(spec: TrainingSpec) -> Lineage:
    """What it reads of its teacher, if it has one. Raises `UserError` where the teacher lacks that."""
    if spec.teacher is None:
        return ()
    teacher = node.read(spec.teacher)
    read = "labels" if spec.training.teaching == "stored" else "weights"
    if read not in teacher.provides:
        raise UserError(f"{spec.node} needs the {read} of {teacher.source}, which has {', '.join(teacher.provides)}")
    return ({"teacher": teacher.source, "read": read, "hash": teacher.hashes[read]},)


def of_initial(spec: TrainingSpec) -> Lineage:
    """What it reads of the node whose weights it begins with, if there is one."""
    if spec.initial is None:
        return ()
    initial = node.read(spec.initial)
    return ({"teacher": initial.source, "read": "initial weights", "hash": initial.hashes["weights"]},)


def read_by(spec: TrainingSpec) -> list[str]:
    """The hash of each thing that a training really reads of other nodes; `spec` as of `with_seen_views`.

    Of stored labels only the views that it sees: a longer student of the same teacher, for which that labels more,
    trains nobody else again.

    Raises:
        UserError: As of `of_teacher`; or a label set is not the recorded one.
    """
    hashes = [each["hash"] for each in of_teacher(spec) + of_initial(spec)]
    if spec.teacher is not None and spec.training.teaching == "stored":
        teacher = node.read(spec.teacher)
        path = teacher.labels / HEADER
        header = files.read_json(path)
        files.verify(path, hashes[0], remedy(teacher.labels), found=files.digest(header))
        hashes[0] = files.digest([header["files"][v]["sha256"] for v in seen(spec.training)])
    return hashes


def key(training: dict[str, Any], code: Any, data_hash: str, read: list[str]) -> str:
    """The key of a training: its settings, its code, and the hashes of what it reads, as of `read_by`."""
    return files.digest([_without_paths(training), code, {"data": data_hash, "read": read}])


def _without_paths(training: dict[str, Any]) -> dict[str, Any]:
    """The settings, where a file of weights counts by its content and not by where it lies."""
    found = dict(training)
    if given := found.get("initial_file"):
        found["initial_file"] = {key: value for key, value in given.items() if key != "file"}
    if "members" in found:
        found["members"] = [_without_paths(each) for each in found["members"]]
    return found
