"""A training that is about to start, in the words of its header."""

from typing import Any

from pipeline.config.input import of_json
from pipeline.console.training import Job
from pipeline.dvc import previous_run
from pipeline.dvc.previous_run import PreviousRun
from pipeline.evaluation.cost import parameters
from pipeline.lineage import node
from pipeline.planning.specs.training import TrainingSpec, TuneSettings
from pipeline.training.device import Device
from pipeline.training.inputs import supplied
from pipeline.training.loop import Training


def describe(spec: TrainingSpec, training: Training, device: Device) -> Job:
    """What learns what, from whom, how much of it, and where."""
    architectures = [each.architecture or {} for each in spec.training.members or (spec.training,)]
    inputs = [of_json(each.input) for each in spec.training.members or (spec.training,)]
    networks = [
        _words(each) + (f", fed {input.words()}" if input else "")
        for each, input in zip(architectures, inputs, strict=True)
    ]
    size = sum(parameters(network.model) for network in training.learners)
    teacher = "its peers" if len(networks) > 1 else "hard labels"
    if spec.teacher:
        teacher = node.read(spec.teacher).source
    how = f"{spec.training.teaching}, " if spec.teacher else ""
    where = device.describe()
    previous = previous_run.read(spec.node)
    return Job(
        node=spec.node,
        learns_from=f"{teacher} ({how}{' + '.join(training.learners[0].objective.terms)})",
        network=f"{' and '.join(networks)} ({size:,} parameters)",
        machine=", ".join([where["device"], where["precision"], *_threads(where.get("threads"))]),
        images=sum(training.sizes_S),
        unlabelled=training.data.train.unlabelled,
        learns_all=sum(training.sizes_S) == len(training.data.train),
        epochs=training.recipe.epochs,
        batch=max(training.sizes_S),
        batch_size=training.recipe.batch_size,
        previous_run=previous,
        is_alike=previous is not None and previous.same_data and _is_alike(previous, spec, training, architectures),
    )


def _is_alike(
    previous: PreviousRun, spec: TrainingSpec, training: Training, architectures: list[dict[str, Any]]
) -> bool:
    """Whether the last run trained the same networks on images of this size."""
    inputs = [of_json(each.input) for each in spec.training.members or (spec.training,)]
    bits = spec.training.bits if isinstance(spec.training, TuneSettings) else None
    grids = {"grids": bits.as_json()} if bits else {}
    return [*previous.networks] == [
        {**each, **grids, **supplied(training.data, input)} for each, input in zip(architectures, inputs, strict=True)
    ]


def _threads(count: int | None) -> list[str]:
    """The number of CPU threads, where they decide anything."""
    return [f"{count} thread{'s' * (count > 1)}"] if count else []


def _words(architecture: dict[str, Any]) -> str:
    """Family and settings, e.g. `residual depth 8 width 16`."""
    settings = [
        f"{key} {value}"
        for key, value in architecture.items()
        if key not in ("family", "surgery") and value is not None
    ]
    # What surgery did stands in node.json, layer by layer: here its length would hide all else.
    changed = ["with changed layers"] if architecture.get("surgery") else []
    return " ".join([architecture["family"], *settings, *changed])
