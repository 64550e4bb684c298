"""The whole of a training stage: open the teacher, train, and leave a node behind."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config.input import Input, of_json
from pipeline.config.select import ACCURACY
from pipeline.config.views import Views
from pipeline.console.progress import log, showing
from pipeline.console.training import header
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.pictures import clean
from pipeline.data.prepared import Prepared, Split
from pipeline.data.views import describe
from pipeline.evaluation.cost import parameters
from pipeline.evaluation.metrics import measured
from pipeline.labels.labeller import evaluation_batch, predict
from pipeline.labels.layout import choose as choose_format
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.models.build import build, rebuild, unsupplied
from pipeline.models.files import load_weights
from pipeline.models.libraries import versions
from pipeline.models.shown import Shown
from pipeline.planning.specs.machine import read_machine
from pipeline.planning.specs.training import NetworkSettings, TrainingSettings, TrainingSpec, TrainSpec, WeightsFile
from pipeline.training.answers import check_answers
from pipeline.training.chance import warn_at_chance
from pipeline.training.device import Device, choose
from pipeline.training.export import Inference, Result, export, export_peers
from pipeline.training.inputs import resolved, supplied
from pipeline.training.job import describe as describe_job
from pipeline.training.key import Lineage, key, of_initial, of_teacher, read_by
from pipeline.training.learner import START, InitWeights
from pipeline.training.loop import Training
from pipeline.training.seen_views import AnyTrainingSpec, last_view, with_seen_views
from pipeline.training.state import holding
from pipeline.training.suited import check_classes, tell_of_clean, warn_of_tail
from pipeline.training.teacher import LiveTeacher, NoTeacher, StoredLabels, Teacher

BUDGET = "pipeline.models.budget"
AnySettings = TypeVar("AnySettings", NetworkSettings, TrainingSettings)


def learn(spec: TrainSpec) -> None:
    """Train the node that `spec` describes, or import it, and export it.

    Raises:
        UserError: Data, teacher, labels or weights are missing or belong to something else; a loss is not finite.
        Stopped: A signal asked to stop; progress is saved.
    """
    data = prepared.read(DATA)
    spec = sized(spec, data, imported=spec.weights is not None)
    device = choose(read_machine(), spec.training.precision)
    if spec.weights:
        export(spec, data, device, _imported(spec, spec.weights, data, device))
        return
    results = train(spec, data, device)
    if spec.training.members:
        export_peers(spec, data, device, results)
    else:
        export(spec, data, device, results[0])


def sized(spec: AnyTrainingSpec, data: Prepared, imported: bool = False) -> AnyTrainingSpec:
    """The spec with the whole input of each network, and every budget turned into the width that it allows for that.

    imported: whether its weights come from a file.
    """
    training = spec.training
    members = training.members and tuple(_sized(spec.node, each, data, imported) for each in training.members)
    if members:  # what stands beside them is the first one's
        first = {"architecture": members[0].architecture, "input": members[0].input}
        return replace(spec, training=replace(training, members=members, **first))
    return replace(spec, training=_sized(spec.node, training, data, imported))


def _sized(node: str, network: AnySettings, data: Prepared, imported: bool) -> AnySettings:
    if not network.architecture:
        return network
    imported = imported or network.initial_file is not None
    input = resolved(node, network.architecture, network.input, data, imported)
    architecture = fitted(network.architecture, data, input)
    return replace(network, architecture=architecture, input=input and input.as_json())


def fitted(architecture: dict[str, Any], data: Prepared, input: Input | None = None) -> dict[str, Any]:
    """An architecture without budget: of the width that its budget allows for this data and this input."""
    architecture = dict(architecture)
    budget = architecture.pop("budget", None)
    if budget is None:
        return architecture
    # By name, so that only stages with a budget depend on this code.
    return importlib.import_module(BUDGET).fit_width(architecture, **supplied(data, input), **budget)


def train(spec: TrainingSpec, data: Prepared, device: Device, init_weights: InitWeights | None = None) -> list[Result]:
    """Train the networks of a sized spec, or go on where they were; one result a network.

    Args:
        spec: Its `initial`, where it has one, names the node whose weights the network starts from.
        data, device: What to train on, and where.
        init_weights: Initialises the network from `initial`; without it the weights are loaded as they are.

    Raises:
        UserError, Stopped: As of `learn`.
    """
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    # Asked before training, not after: the labels may be of a form that these classes cannot have.
    choose_format(len(data.classes), device.compute_type, spec.labels.kind, spec.labels.k, spec.labels.rank)
    check_classes(spec, len(data.classes))
    name = spec.node
    teacher, lineage = open_teacher(spec, data, device)
    assert spec.training.stream is not None
    trained_on = {spec.training.stream}
    if spec.initial:
        initial = node.read(spec.initial)
        path = node.checked_weights(initial)
        lineage += of_initial(spec)
        trained_on |= {*initial.trained_on}
        check_answers(initial, load(initial, device), data, device)
        load_initial = partial(load_weights, path=path, what=f"the weights of {initial.source}")
        init_weights = init_weights or load_initial
    saved = key(spec.training.as_json(), spec.code["training"], data.hash, read_by(spec))
    with holding(name, saved, log) as state:
        training = Training(spec.training, data, teacher, device, init_weights)
        validate = _validation(training) if spec.has_logits else lambda model: {}
        header(job := describe_job(spec, training, device))
        machine = read_machine()
        told = {"trackers": machine.trackers, "key": saved, "machine": job.machine, "images": job.images}
        with showing(name, job.epochs, training.steps, **told) as shown:
            training.run(state, validate, shown.ended, log, machine.state_every, shown.moved)
    for k in range(len(training.learners)):
        kept = training.epochs(k)
        warn_at_chance(name, training.rows(k)[: kept["kept"] if kept else None], data.validation.labels)
    return [
        Result(
            "trained",
            learner.result,
            lineage,
            training.rows(k),
            training.at.seconds,
            tuple(sorted(trained_on)),
            parameters(learner.objective),
            batch_norm=learner.batch_norm,
            balanced=training.balanced(k),
            input=of_json(network.input),
            epochs=training.epochs(k),
            began_with=network.initial_file and network.initial_file.sha256,
        )
        for k, (learner, network) in enumerate(
            zip(training.learners, spec.training.members or (spec.training,), strict=True)
        )
    ]


def _validation(training: Training) -> Callable[[torch.nn.Module], Mapping[str, float]]:
    """A function that gives a network's accuracy on clean validation images, and the metric that decides."""
    split = training.data.validation
    numbers = {each.final: k for k, each in enumerate(training.learners)}
    answer = answering(training, split)
    y_N = torch.from_numpy(split.labels.copy())
    names = dict.fromkeys((ACCURACY.name, training.metric.name))

    def validate(model: torch.nn.Module) -> Mapping[str, float]:
        return measured(answer(model.eval(), numbers[model]), y_N, names)

    return validate


def answering(training: Training, split: Split) -> Callable[[torch.nn.Module, int], Tensor]:
    """A function that gives the logits of clean images, (N, C) on the CPU, of a network in training by its number.

    Each network is shown them by itself, as its node will be: not as several are that learn from one view.
    """
    data, device = training.data, training.device
    renderings = [data.rendering(input) for input in training.inputs]
    pixels = {each: Pixels(clean(split.images, each), device.where, device.room()) for each in {*renderings}}
    sizes = [
        evaluation_batch(each.model, data.channels, supplied(data, input)["size"])
        for each, input in zip(training.learners, training.inputs, strict=True)
    ]

    def answer(model: torch.nn.Module, k: int = 0) -> Tensor:
        input = training.inputs[k]
        shown = Shown([input], data.mean, data.std, device.where, data.rendering(None))
        forward = device.forward(model, shown.to(input))
        return predict(forward, pixels[renderings[k]], shown.mean_C, shown.std_C, batch_size=sizes[k]).cpu()

    return answer


def open_teacher(spec: TrainingSpec, data: Prepared, device: Device) -> tuple[Teacher, Lineage]:
    """The source of what the teacher gives, and what of the teacher is really read; `spec` as of `with_seen_views`."""
    training, lineage = spec.training, of_teacher(spec)
    if spec.teacher is None:
        return NoTeacher(), lineage
    teacher = node.read(spec.teacher)
    if training.teaching == "stored":
        assert training.stream is not None
        count, asked = len(data.train), Views(**training.views)
        views = describe(asked, training.views_seed, training.stream, count, data.renderer)
        recorded = teacher.hashes["labels"]
        labels = open_labels(teacher.labels, recorded=recorded, data_hash=data.hash, views=views, classes=data.classes)
        if labels.views < (last := training.distinct_views or last_view(training)):
            raise UserError(
                f"{labels.folder} has {labels.views} views, and {spec.node} learns from {last}: run `dvc repro`"
            )
        warn_of_tail(spec, labels)
        tell_of_clean(spec, teacher)
        return StoredLabels(labels, device), lineage
    if teacher.format != "safetensors":
        raise UserError(f"{spec.node} needs a live teacher, but {teacher.source} is a file of {teacher.format}")
    model = load(teacher, device)
    check_answers(teacher, model, data, device)
    assert training.teacher_batch is not None
    images = supplied(data, teacher.input)
    libraries = versions([teacher.architecture or {}])
    return (
        LiveTeacher(
            model, device, training.teacher_batch, images["channels"], images["size"], teacher.input, libraries
        ),
        lineage,
    )


def load(of: Node, device: Device) -> torch.nn.Module:
    """A node's network with its weights."""
    assert of.architecture is not None
    path = node.checked_weights(of)
    model = rebuild(of.architecture)
    load_weights(model, path, f"the weights of {of.source}")
    return device.place(model)


def _imported(spec: TrainSpec, weights: WeightsFile, data: Prepared, device: Device) -> Result:
    """A network trained elsewhere, from the file that params.yaml names."""
    assert spec.training.architecture is not None
    input, architecture = of_json(spec.training.input), unsupplied(spec.training.architecture)
    model = build(architecture, **supplied(data, input))
    # By name, so that only what is imported depends on this code.
    start = importlib.import_module(START)
    named = start.begin(model, weights, data.classes, "teacher.weights")
    model = device.place(model).eval()
    z_NC = Inference(device, model, data, input, versions([architecture])).predict("validation")
    start.check_reached(weights, z_NC, data, input, named)
    return Result("imported", model, (), [], 0.0, input=input, began_with=weights.sha256)
