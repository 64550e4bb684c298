"""A training that is about to start, in the words of its header."""

from typing import Any

from pipeline.console.training import Job
from pipeline.dvc import previous_run
from pipeline.evaluation.cost import parameters
from pipeline.lineage import node
from pipeline.planning.specs.training import TrainingSpec
from pipeline.training.device import Device
from pipeline.training.loop import Training


def describe(spec: TrainingSpec, training: Training, device: Device) -> Job:
    """What learns what, from whom, how much of it, and where."""
    networks = [_words(each.architecture or {}) for each in spec.training.members or (spec.training,)]
    size = sum(parameters(network.model) for network in training.learners)
    teacher = "its peers" if len(networks) > 1 else "hard labels"
    if spec.teacher:
        teacher = node.read(spec.teacher).source
    how = f"{spec.training.teaching}, " if spec.teacher else ""
    where = device.describe()
    return Job(
        node=spec.node,
        learns_from=f"{teacher} ({how}{' + '.join(training.learners[0].objective.terms)})",
        network=f"{' and '.join(networks)} ({size:,} parameters)",
        machine=", ".join([where["device"], where["precision"], *_threads(where.get("threads"))]),
        images=len(training.data.train),
        epochs=training.recipe.epochs,
        batch=max(training.sizes_S),
        batch_size=training.recipe.batch_size,
        previous_run=previous_run.read(spec.node),
    )


def _threads(count: int | None) -> list[str]:
    """The number of CPU threads, where they decide anything."""
    return [f"{count} thread{'s' * (count > 1)}"] if count else []


def _words(architecture: dict[str, Any]) -> str:
    """Family and settings, e.g. `residual depth 8 width 16`."""
    settings = [f"{key} {value}" for key, value in architecture.items() if key != "family" and value is not None]
    return " ".join([architecture["family"], *settings])
