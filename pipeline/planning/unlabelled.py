"""Whether images without a label teach anybody: asked once some were found, and printed, nothing else."""

from pipeline.base.files import read_sealed
from pipeline.base.paths import PLAN
from pipeline.config.term import needs_labels


def are_learned() -> bool:
    """Whether any network that is planned learns from an image that has no label."""
    for path in PLAN.rglob("*.json"):
        training = read_sealed(path).get("training")
        if training and not all(needs_labels(each["objective"]) for each in training.get("members") or [training]):
            return True
    return False
