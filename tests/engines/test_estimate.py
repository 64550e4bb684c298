"""How long and how much: by what was measured, scaled by what is known of networks, images, epochs and views."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.config import params
from pipeline.dvc import previous_run
from pipeline.dvc.previous_run import PreviousRun
from pipeline.engines import estimate
from pipeline.engines.estimate import BEGIN, BEGIN_TORCH, UNKNOWN, Estimate, Expected, ImageCounts
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.readers import EnsembleSpec
from pipeline.planning.specs.spec import Spec
from pipeline.planning.specs.training import TrainingSpec
from tests.scratch import PARAMS, ROOT, Scratch

IMAGES = ImageCounts(train=1000, validation=300, test=300, classes=10, size=8)
SPEED = 100.0  # images a second
DATA = {"size": None, "per_class": 100, "label_noise": 0.0, "source": "digits", "validation": 0.2}


@pytest.fixture(scope="module")
def specs() -> dict[str, Spec]:
    return build(params.read(PARAMS), graph.read(ROOT / "dvc.yaml"))


def run(flops: int = 1000, speed: float | None = SPEED, size: int = 8, on: str = "cpu") -> PreviousRun:
    metrics = {"flops": flops, "bytes": 4000, "cost": {"training_seconds": 1.0, "timed_on": on}}
    return PreviousRun(metrics, speed, ({"size": size},))


def made(
    monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec], runs: dict[str, PreviousRun], **changes: Any
) -> Estimate:
    """An estimate where these nodes, and no others, have run by the same specs."""
    monkeypatch.setattr(previous_run, "read", runs.get)
    before = {name: specs[name].as_json() for name in runs}
    given = {"specs": specs, "before": before, "images": IMAGES, "images_before": IMAGES, **changes}
    return Estimate(**given)


def training(specs: dict[str, Spec], name: str) -> TrainingSpec:
    spec = specs[name]
    assert isinstance(spec, TrainingSpec)
    return spec


def with_training(spec: TrainingSpec, **changes: Any) -> TrainingSpec:
    return replace(spec, training=replace(spec.training, **changes))


def seconds(specs: dict[str, Spec], name: str, speed: float = SPEED, images: ImageCounts = IMAGES) -> float:
    """By hand: each epoch the training images, and a third of the time for each image that only goes forward."""
    spec = training(specs, name)
    epochs, views = spec.training.recipe["epochs"], spec.labels.views
    passes = epochs * images.validation + (views + 1) * images.train + images.validation + images.test
    return BEGIN_TORCH + epochs * images.train / speed + passes / 3 / speed


def test_a_training_that_was_run_takes_as_long_again(monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]) -> None:
    found = made(monkeypatch, specs, {"direct": run()}).of("direct")
    assert found.seconds == pytest.approx(seconds(specs, "direct"))
    assert found.bytes == 4000 + 1 * 1000 * 10 * 4 + 600 * 10 * 4, "weights, clean labels, predictions"


def test_epochs_images_and_views_count(monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]) -> None:
    teacher = training(specs, "teacher")
    longer = with_training(teacher, recipe={**teacher.training.recipe, "epochs": 77})
    more = {**specs, "teacher": replace(longer, labels=replace(teacher.labels, views=9))}
    many = replace(IMAGES, train=5000)
    found = made(monkeypatch, more, {"teacher": run()}, images=many).of("teacher")
    assert found.seconds == pytest.approx(seconds(more, "teacher", images=many))
    assert found.bytes == 4000 + (9 + 1) * 5000 * 10 * 4 + 600 * 10 * 4
    held = replace(teacher.labels, views=9, max_bytes=3 * 5000 * 10 * 4)
    few = made(monkeypatch, {**specs, "teacher": replace(longer, labels=held)}, {"teacher": run()}, images=many)
    assert few.of("teacher").bytes == 4000 + (2 + 1) * 5000 * 10 * 4 + 600 * 10 * 4, "no more than max_bytes holds"


def test_larger_images_take_longer_by_their_area(monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]) -> None:
    large = replace(IMAGES, size=16)
    found = made(monkeypatch, specs, {"direct": run()}, images=large).of("direct")
    assert found.seconds == pytest.approx(seconds(specs, "direct", SPEED / 4))
    own = {**specs, "direct": with_training(training(specs, "direct"), input={"size": 32})}
    found = made(monkeypatch, own, {"direct": run(size=32)}, images=large).of("direct")
    assert found.seconds == pytest.approx(seconds(specs, "direct")), "it is fed images of its own size"


def test_the_same_network_elsewhere_tells_the_speed_those_of_the_family_first(
    monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]
) -> None:
    runs = {"teacher": run(speed=50.0), "born_again/g1": run(speed=200.0)}
    assert made(monkeypatch, specs, runs).of("born_again/g3").seconds == pytest.approx(
        seconds(specs, "born_again/g3", 200.0)
    )
    del runs["born_again/g1"]
    assert made(monkeypatch, specs, runs).of("born_again/g3").seconds == pytest.approx(
        seconds(specs, "born_again/g3", 50.0)
    )


def test_another_network_counts_by_its_flops(monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]) -> None:
    other = training(specs, "teacher").training.architecture
    now = {**specs, "direct": with_training(training(specs, "direct"), architecture=other)}
    runs = {"direct": run(flops=1000), "teacher": run(flops=4000, speed=None)}
    before = {name: specs[name].as_json() for name in runs}
    found = made(monkeypatch, now, runs, before=before)
    assert found.of("direct").seconds == pytest.approx(seconds(now, "direct", SPEED / 4))
    del runs["teacher"], before["teacher"]
    assert made(monkeypatch, now, runs, before=before).of("direct") == UNKNOWN


def test_what_learns_from_a_live_teacher_is_no_measure_of_what_does_not(
    monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]
) -> None:
    live = with_training(training(specs, "direct"), teaching="live")
    before = {"direct": live.as_json()}
    found = made(monkeypatch, specs, {"direct": run(speed=10.0)}, before=before)
    assert found.of("direct").seconds == pytest.approx(seconds(specs, "direct", 10.0)), "its own, by FLOPs"
    assert found.of("student") == UNKNOWN


def test_what_tunes_the_node_before_is_measured_by_itself_alone(
    monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]
) -> None:
    assert training(specs, "compress/c3").training.architecture is None
    found = made(monkeypatch, specs, {"compress/c3": run()})
    assert found.of("compress/c3").seconds == pytest.approx(seconds(specs, "compress/c3"))
    assert found.of("compress/c1") == UNKNOWN


def test_peers_write_as_many_nodes(monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]) -> None:
    found = made(monkeypatch, specs, {"mutual": run()}).of("mutual")
    assert found.bytes == 2 * (4000 + 1000 * 10 * 4 + 600 * 10 * 4)


def test_labels_of_half_precision_are_half(monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]) -> None:
    assert training(specs, "direct").training.precision == "auto"
    found = made(monkeypatch, specs, {"direct": run(on="NVIDIA H100")}).of("direct")
    assert found.bytes == 4000 + 1000 * 10 * 2 + 600 * 10 * 4


def test_what_computes_nothing_takes_a_moment_and_the_rest_is_not_known(
    monkeypatch: pytest.MonkeyPatch, specs: dict[str, Spec]
) -> None:
    found = made(monkeypatch, specs, {"direct": run()})
    for name in ("refinery/g8", "refined", "summary", "report"):
        assert found.of(name) == Expected(BEGIN, 0)
    assert found.of("ensemble") == Expected(BEGIN_TORCH, 600 * 10 * 4), "what the members have stored, combined"
    for name in ("prepare", "compress/c2", "a stage of the user's"):
        assert found.of(name) == UNKNOWN
    ensemble = specs["ensemble"]
    assert isinstance(ensemble, EnsembleSpec)
    taught = {**specs, "ensemble": replace(ensemble, labels=replace(ensemble.labels, views=3))}
    assert made(monkeypatch, taught, {"direct": run()}).of("ensemble") == UNKNOWN, "its members label views"
    for name in ("direct", "ensemble"):
        assert made(monkeypatch, specs, {"direct": run()}, images=None).of(name) == UNKNOWN


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, IMAGES),
        ({"label_noise": 0.5}, IMAGES),
        ({"per_class": 50}, replace(IMAGES, train=500)),
        ({"size": 32}, replace(IMAGES, size=32)),
        ({"per_class": None}, None),
        ({"source": "mnist"}, None),
        ({"validation": 0.3}, None),
        ({"a key to come": 1}, None),
    ],
    ids=str,
)
def test_images_to_come_are_known_only_where_they_follow_from_the_settings(
    changes: dict[str, Any], expected: ImageCounts | None
) -> None:
    assert IMAGES.after(DATA, {**DATA, **changes}) == expected


def test_a_size_that_is_given_up_is_not_known() -> None:
    assert IMAGES.after({**DATA, "size": 8}, DATA) is None


def test_it_agrees_with_what_a_run_wrote(lineage: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a finished graph: bytes as they lie there, and speed as the curves have it."""
    monkeypatch.chdir(lineage.folder)
    specs = build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    before = {name: spec.as_json() for name, spec in specs.items()}
    images = ImageCounts.of(files.read_json(Path("artifacts/data/data.json")))
    found = Estimate(specs, before, images, images)
    for name in ("teacher", "student", "born_again/g1", "mutual", "compress/c1"):
        folder = Path("artifacts") / name
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
        expected = found.of(name)
        assert expected.bytes == pytest.approx(size, rel=0.05), name
        assert expected.seconds and expected.seconds > estimate.BEGIN_TORCH
    rows = Path("curves/student.csv").read_text().splitlines()
    rates = [float(row["images_per_second"]) for row in csv.DictReader(rows)]
    wanted = seconds(specs, "student", sorted(rates)[0] / 2 + sorted(rates)[1] / 2, images)
    assert found.of("student").seconds == pytest.approx(wanted)
    assert json.loads(Path("metrics/student.json").read_text())["bytes"] > 0
