"""What decides the result of a training: the key of its saved state. Nothing here imports torch."""

from typing import Any

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.lineage import node
from pipeline.planning.specs.training import TrainingSpec

Lineage = tuple[dict[str, str], ...]


def lineage(spec: TrainingSpec) -> Lineage:
    """What a training really reads of other nodes."""
    return of_teacher(spec) + of_initial(spec)


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


def key(training: dict[str, Any], code: Any, data_hash: str, lineage: Lineage) -> str:
    """The key of a training: its settings, its code, and the content that it reads."""
    content = {"data": data_hash, "lineage": [item["hash"] for item in lineage]}
    return files.digest([training, code, content])
