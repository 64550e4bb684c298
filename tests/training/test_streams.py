"""What a node labels it was not trained on; and all arms of a comparison see the same views."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.models.build import build
from pipeline.planning.specs.compress import TrainStepSpec
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.ensemble import write_ensemble
from pipeline.training.learn import learn
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from pipeline.training.teacher import LiveTeacher
from tests.training import runs
from tests.training.runs import EPOCHS, changed, training

ENSEMBLE_TEACHES = {
    "edges": {"refinery": "ensemble"},
    "refinery": {"architecture": {"family": "plain", "widths": [4, 8]}, "generations": 1},
    "born_again": {"generations": 2},
    "teacher": {"architecture": {"width": 4}},
}
LEARNED = ("baseline", "direct", "born_again/g1", "born_again/g2")
LIMITED = 3  # distinct views, where an arm has more epochs


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("streams")
    with runs.inside(folder):
        specs = runs.furnish(folder, ENSEMBLE_TEACHES)
        for name in LEARNED:
            learn(specs[name])
        yield specs


def streams(name: str) -> tuple[tuple[str, ...], str | None]:
    found = node.read(name)
    return found.trained_on, found.labels_stream


def header(name: str) -> dict[str, Any]:
    return files.read_json(node.read(name).labels / "labels.json")


def test_a_node_labels_the_views_that_it_was_not_trained_on(specs: dict[str, Any]) -> None:
    assert streams("teacher") == (("train",), "labels")
    assert streams("direct") == streams("baseline") == (("labels",), "labels_2"), "they share their crops"
    assert streams("born_again/g1") == (("labels",), "labels_2")
    assert streams("born_again/g2") == (("labels_2",), "labels")
    for name in ("teacher", *LEARNED):
        assert header(name)["view_spec"]["stream"] == node.read(name).labels_stream, name


def test_what_teaches_live_is_seen_on_the_same_views_as_its_labels(specs: dict[str, Any]) -> None:
    of = changed(specs["born_again/g2"], teaching="live", teacher_batch=32)
    assert training(of).stream == training(specs["born_again/g2"]).stream == "labels_2"


def test_who_learns_from_a_slot_that_carries_has_the_stream_of_what_it_carries(specs: dict[str, Any]) -> None:
    node.carry("assistant/t1", node.read("born_again/g1"))
    of = with_seen_views(replace(specs["direct"], teacher="assistant/t1"), 100, 10)
    assert of.training.stream == "labels_2"


def test_an_ensemble_teaches_a_stream_that_no_member_has_seen(specs: dict[str, Any]) -> None:
    before = {name: (node.read(name).folder / "node.json").read_bytes() for name in ("born_again/g1", "born_again/g2")}
    write_ensemble(replace(specs["ensemble"], members=(*before,)))
    assert streams("ensemble") == ((), "ensemble")
    assert header("ensemble")["view_spec"]["stream"] == "ensemble" and header("ensemble")["views"] == EPOCHS
    assert all((node.read(name).folder / "node.json").read_bytes() == content for name, content in before.items())
    learn(specs["refinery/g1"])
    assert streams("refinery/g1") == (("ensemble",), "labels")


def test_what_learns_on_has_seen_the_views_of_both_trainings(specs: dict[str, Any]) -> None:
    """It labels none of them, though both label streams are among them."""
    as_before = changed(specs["direct"], architecture=specs["teacher"].training.architecture)
    learn(replace(as_before, node="method/again", initial="born_again/g2"))
    assert streams("method/again") == (("labels", "labels_2"), "labels_3")


def test_labels_of_another_stream_are_refused_in_a_sentence(specs: dict[str, Any]) -> None:
    found = node.read("born_again/g1")
    other = replace(found, labels_stream="labels_3")
    content = (found.folder / "node.json").read_bytes()
    try:
        node.write(found.folder, other)
        with pytest.raises(UserError, match=r"labels other views .stream is 'labels_2', here 'labels_3'.: delete"):
            training(specs["born_again/g2"])
        node.write(found.folder, replace(found, labels_stream=None))
        with pytest.raises(UserError, match=r"node\.json does not name the views that it labels: run `dvc repro`"):
            training(specs["born_again/g2"])
    finally:
        (found.folder / "node.json").write_bytes(content)


def test_labels_that_are_too_few_are_refused_in_a_sentence(specs: dict[str, Any]) -> None:
    asked = replace(specs["direct"].labels, distinct=None)
    longer = replace(specs["direct"].training, recipe={**specs["direct"].training.recipe, "epochs": EPOCHS + 3})
    with pytest.raises(UserError, match=f"labels has {EPOCHS} views, and direct learns from {EPOCHS + 3}: run"):
        training(replace(specs["direct"], labels=asked, training=longer))


def limited(spec: TrainSpec | TrainStepSpec, epochs: int = 8) -> Any:
    """The spec with more epochs than there are distinct views."""
    longer = replace(spec.training, recipe={**spec.training.recipe, "epochs": epochs})
    return replace(spec, training=longer, labels=replace(spec.labels, distinct=LIMITED))


def network(data: prepared.Prepared) -> torch.nn.Module:
    """A teacher whose layers are there to be compared."""
    architecture = {"family": "plain", "widths": [4, 8]}
    return build(architecture, channels=data.channels, size=data.size, classes=len(data.classes))


def views(spec: Any) -> list[tuple[str, int]]:
    """Stream and view of each epoch, as the loop draws them."""
    seen = with_seen_views(spec, 100, 10).training
    data = prepared.read(DATA)
    teacher = LiveTeacher(network(data), runs.CPU, 32, data.channels, data.size)
    of = Training(seen, data, teacher, runs.CPU)
    return [(of.stream, of.view(epoch)) for epoch in range(of.recipe.epochs)]


def test_every_arm_sees_the_same_views_whatever_teaches_it(specs: dict[str, Any]) -> None:
    expected = [("labels", 1 + epoch % LIMITED) for epoch in range(8)]
    assert views(limited(specs["direct"])) == expected
    assert views(limited(specs["baseline"])) == expected
    assert views(limited(changed(specs["direct"], teaching="live", teacher_batch=32))) == expected
    assert views(limited(specs["mutual"])) == expected
    assert views(limited(specs["method/attention_transfer"])) == expected
    assert views(limited(specs["method/unlimited"])) == [("labels", 1 + epoch) for epoch in range(8)]
    assert views(limited(specs["teacher"])) == [("train", 1 + epoch) for epoch in range(8)], "it is no arm"


def test_a_hint_and_what_begins_with_it_see_the_views_of_one_longer_arm(specs: dict[str, Any]) -> None:
    hint, fitnet = specs["method/hint"], specs["method/fitnet"]
    unlimited = [replace(spec, labels=replace(spec.labels, distinct=100)) for spec in (hint, fitnet)]
    assert [v for spec in unlimited for _, v in views(spec)] == [*range(1, 2 * EPOCHS + 1)]


def test_the_bytes_of_the_labels_decide_where_no_number_does(specs: dict[str, Any]) -> None:
    data = prepared.read(DATA)
    a_view = 4 * len(data.train) * len(data.classes)
    spec = limited(specs["direct"])
    for held in (1, 2, 7):
        labels = replace(spec.labels, distinct=None, max_bytes=(held + 1) * a_view)
        seen = with_seen_views(replace(spec, labels=labels), len(data.train), len(data.classes))
        assert seen.training.distinct_views == held
    enough = replace(spec.labels, distinct=None, max_bytes=9 * a_view)
    seen = with_seen_views(replace(spec, labels=enough), len(data.train), len(data.classes))
    assert seen.training.distinct_views is None, "a larger budget that changes nothing trains nothing again"


def test_a_node_stores_what_fits_and_no_more_than_is_asked_of_it(specs: dict[str, Any]) -> None:
    data = prepared.read(DATA)
    a_view = 4 * len(data.train) * len(data.classes)
    for views_asked, held, stored in ((2, 1, 1), (2, 2, 2), (1, 5, 1)):
        asked = {"views": views_asked, "distinct": None, "max_bytes": (held + 1) * a_view}
        labels = replace(specs["teacher"].labels, **asked)
        learn(replace(specs["teacher"], node="method/stored", labels=labels))
        assert header("method/stored")["views"] == stored
        written = sum(path.stat().st_size for path in node.read("method/stored").labels.glob("view_*"))
        assert written <= (held + 1) * a_view + 200 * (stored + 1), "headers of files aside"
