"""Which layer of the student is compared with which layer of the teacher."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size

from pipeline.base.errors import UserError
from pipeline.config.section import unknown

LOGITS = "logits"
EMBEDDING = "embedding"
Shapes = Mapping[str, Size]


@dataclass(frozen=True)
class Pair:
    """Names of taps."""

    student: str
    teacher: str


def pairs(layers: str | Mapping[str, str], student: Shapes, teacher: Shapes, where: str) -> tuple[Pair, ...]:
    """Resolve the `layers` of a term.

    Args:
        layers: `stages` (the ends of all resolution stages), `embedding`, `logits`, or names, student's to teacher's.
        student: Output shape, without the batch, of each tap in order, and of `logits`.
        teacher: Likewise.
        where: The term's key in params.yaml.

    `stages` are paired from the last backwards, so that a student of fewer stages learns from the teacher's last.

    Raises:
        UserError: A name is not a tap, or there is nothing to pair.
    """
    if isinstance(layers, Mapping):
        for whose, names, taps in (("student", layers, student), ("teacher", layers.values(), teacher)):
            for name in names:
                if name not in taps:
                    raise UserError(f"{where}.layers: {unknown(f'layer of the {whose}', name, taps)}")
        return tuple(Pair(own, other) for own, other in layers.items())
    if layers != "stages":
        return (Pair(layers, layers),)
    own, other = ([name for name in taps if name not in (EMBEDDING, LOGITS)] for taps in (student, teacher))
    count = min(len(own), len(other))
    if count == 0:
        raise UserError(f"{where}.layers is stages, but a network has none: use embedding or logits")
    return tuple(Pair(a, b) for a, b in zip(own[-count:], other[-count:], strict=True))
