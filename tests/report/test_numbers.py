"""What the charts show, in numbers: small cases worked out by hand."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config.views import Views
from pipeline.data.prepared import Prepared, Split
from pipeline.data.render import mix, render
from pipeline.data.views import augment, draw
from pipeline.evaluation.metrics import ece
from pipeline.lineage.node import Node
from pipeline.planning.specs.readers import ChainSettings
from pipeline.report.agreement import agreement
from pipeline.report.attention import pick
from pipeline.report.calibration import reliability
from pipeline.report.classes import averages, by_class, confusions
from pipeline.report.cost import bills, followers
from pipeline.report.generations import description, figure, generations
from pipeline.report.lineage import GraphRow, rails
from pipeline.report.methods import arms
from pipeline.report.run import Entry
from pipeline.report.soft_labels import chosen, crop, example, likeliest
from pipeline.report.tradeoff import Cost, Point, chart, costs, mark, points


@pytest.mark.parametrize("spread", [0.1, 1, 6])
def test_reliability_bins_add_up_to_the_ece_of_the_metrics(spread: float) -> None:
    generator = np.random.default_rng(3)
    logits_NC, y_N = spread * generator.normal(size=(500, 7)), generator.integers(0, 7, 500)
    found = reliability(logits_NC, y_N)
    assert found.count_M.sum() == 500
    assert found.ece == pytest.approx(ece(torch.from_numpy(logits_NC), torch.from_numpy(y_N)), abs=1e-12)


def test_a_bin_has_its_own_images() -> None:
    sure, torn = [9.0, 0.0], [0.1, 0.0]
    found = reliability(np.array([sure, sure, torn]), np.array([0, 1, 0]))
    assert found.count_M.tolist() == [0] * 7 + [1] + [0] * 6 + [2]
    assert found.accuracy_M[-1] == 0.5
    assert found.surplus == pytest.approx((2 * 0.99988 + 0.525 - 2) / 3, abs=1e-3)
    assert np.isnan(found.accuracy_M[0])


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    """Of fifteen bins the third ends at a fifth, which five classes alike give."""
    assert reliability(np.zeros((4, 5)), np.zeros(4, int)).count_M.tolist() == [0, 0, 4, *[0] * 12]


def entry(name: str, reached: float = 0.5, status: Any = "trained", origin: str | None = None, **metrics: Any) -> Entry:
    """A network of the run, made by hand."""
    scores = {
        "validation": {"accuracy": reached + 0.1},
        "test": {"accuracy": reached},
        "cost": {"training_seconds": 1.0},
    }
    of = Node(name, status, ("weights", "predictions"), architecture={"family": "plain"}, origin=origin)
    return Entry(of, scores | metrics)


class Made:
    """A run of entries made by hand; `right` and `guesses` by name."""

    def __init__(self, *entries: Entry, **answers: list[int]) -> None:
        self.entries = {each.name: each for each in entries}
        self.networks = [each for each in entries if each.own]
        self.answering = self.networks
        self.by_image = self.answering
        self.answers = {name: np.array(each) for name, each in answers.items()}
        self.y_N = np.ones(len(next(iter(answers.values()), [])), dtype=np.int64)
        rule = ChainSettings(start="baseline", generations=3, patience=1)
        self.spec = SimpleNamespace(chains={"refinery": rule}, select=None)

    def find(self, name: str) -> Entry | None:
        return self.entries.get(name)

    answered = find

    def guesses(self, name: str) -> np.ndarray:
        return self.answers[name]

    def right(self, name: str) -> np.ndarray:
        return self.answers[name] == 1


def test_an_arm_is_compared_by_the_images_that_one_of_the_two_alone_gets_right() -> None:
    answers = {"baseline": [0] * 60 + [1] * 40, "better": [1] * 90 + [0] * 10, "open": [0] * 58 + [1] * 42}
    made = Made(*(entry(name, float(np.mean(each))) for name, each in answers.items()), **answers)
    better, undecided = arms(made)  # pyright: ignore[reportArgumentType]
    assert (better.name, better.only_it, better.only_base, better.verdict) == ("better", 60, 10, "better")
    assert better.difference.mean == pytest.approx(0.5)
    assert (undecided.only_it, undecided.only_base, undecided.verdict) == (2, 0, "open")
    made = Made(*(entry(name) for name in ("baseline", "worse")), baseline=answers["better"], worse=answers["baseline"])
    (worse,) = arms(made)  # pyright: ignore[reportArgumentType]
    assert (worse.verdict, worse.difference.mean) == ("worse", pytest.approx(-0.5))


def test_a_chain_counts_the_generations_that_were_trained() -> None:
    slots = [entry("refinery/g1", 0.6), entry("refinery/g2", 0.6, "carried", "refinery/g1")]
    found = generations(Made(entry("baseline", 0.4), *slots), "refinery")  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert (found.names, found.test) == (["baseline", "refinery/g1"], [0.4, 0.6])
    assert (found.best, found.stopped) == (1, True)


def test_the_generation_that_is_ringed_is_the_best_by_the_metric_that_decides() -> None:
    """By accuracy it would be the second; born-again chains pick none, so that the report finds it."""
    scores = [{"accuracy": 0.5 + k / 10, "nll": nll} for k, nll in enumerate((0.9, 0.4, 0.7))]
    names = ("baseline", "born_again/g1", "born_again/g2")
    splits = [dict.fromkeys(("validation", "test"), each) for each in scores]
    made = Made(*(entry(name, **its) for name, its in zip(names, splits, strict=True)))
    made.spec.chains["born_again"] = made.spec.chains["refinery"]
    plain = generations(made, "born_again")  # pyright: ignore[reportArgumentType]
    assert plain is not None and plain.best == 2 and "born_again/g2, +20.0 points on the start" in description(plain)
    assert len(figure(plain).table.rows[0]) == 4  # pyright: ignore[reportOptionalMemberAccess]
    made.spec.select = "nll"
    found = generations(made, "born_again")  # pyright: ignore[reportArgumentType]
    assert found is not None and found.best == 1
    assert "Best by validation NLL (ringed): born_again/g1, 0.400 where the start has 0.900." in description(found)
    table = figure(found).table
    assert table is not None and table.header[-1] == "validation NLL"
    assert [row[-1] for row in table.rows] == ["0.900", "0.400", "0.700"]


def test_what_all_classes_alike_come_to_is_told_of_each_network_as_far_as_it_is_known() -> None:
    known = {"accuracy": 0.9, "balanced_accuracy": 0.5, "macro_f1": 0.4, "top_5": 0.95, "nll": 0.25}
    found = averages(Made(entry("a", 0.9, test=known), entry("b", 0.8)))  # pyright: ignore[reportArgumentType]
    assert found.header == ("network", "accuracy", "balanced accuracy", "macro F1", "top 5", "NLL")
    assert [*found.rows] == [("a", "90.0", "50.0", "40.0", "95.0", "0.250"), ("b", "80.0", "", "", "", "")]


def test_the_two_that_agree_most_and_the_two_that_agree_least() -> None:
    made = Made(*(entry(name) for name in "abc"), a=[0, 1, 2, 3], b=[0, 1, 2, 0], c=[3, 2, 1, 3])
    found = agreement(made)  # pyright: ignore[reportArgumentType]
    assert found.shares.tolist() == [[1, 0.75, 0.25], [0.75, 1, 0], [0.25, 0, 1]]
    assert found.extremes == ((0, 1), (1, 2))


def test_a_time_is_in_seconds_wherever_it_was_measured() -> None:
    time = Cost("latency_ms", "Time", "s", "cpu")
    one = entry("a", cost={"latency_ms": 3.0, "timed_on": "cpu"})
    other = entry("b", cost={"latency": {"batch_1": {"ms": 3.0}}, "timed_on": "cpu"})
    assert [time.of(each, Made()) for each in (one, other)] == [0.003, 0.003]  # pyright: ignore[reportArgumentType]


def test_a_crop_is_the_one_that_its_label_was_made_of() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    split = Split(images, np.zeros(4, int))  # pyright: ignore[reportArgumentType]
    data = Prepared(split, split, split, split.labels, ("a",), (0.0,), (1.0,), 1, 8, "hash")
    views = Views(shift=3, flip=True)
    for row in range(4):
        drawn = draw(views, 5, "labels", 2, 4, 8)
        one = torch.from_numpy(images[[row]])
        expected = augment(one, drawn, torch.tensor([row]), torch.zeros(1), torch.full((1,), 1 / 255))[0]
        assert np.array_equal(crop(data, views, 5, "labels", 2, row), expected.numpy().round())


def test_the_front_is_what_no_other_beats() -> None:
    plain = [
        Point("cheap", "f", 1, 0.5),
        Point("same", "f", 1, 0.5),
        Point("beaten", "f", 2, 0.5),
        Point("better", "f", 2, 0.7),
        Point("dear", "f", 9, 0.6),
        Point("best", "f", 9, 0.9),
        Point("as good and dearer", "f", 20, 0.9),
    ]
    assert [p.name for p in mark(plain) if p.front] == ["cheap", "same", "better", "best"]


def test_classes_and_confusions() -> None:
    y_N = np.array([0, 0, 0, 1, 1, 2])
    before_N, after_N = np.array([1, 1, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 2, 0])
    found = by_class(before_N, after_N, y_N, ("cat", "dog", "ball", "no images"))
    assert [(c.name, c.count, c.before, c.after) for c in found] == [
        ("cat", 3, 1 / 3, 2 / 3),
        ("dog", 2, 1.0, 0.5),
        ("ball", 1, 0.0, 0.0),
    ]
    changed = confusions(before_N, after_N, y_N, ("cat", "dog", "ball"))
    assert [(c.true, c.taken_for, c.before, c.after) for c in changed] == [
        ("cat", "dog", 2, 1),
        ("ball", "cat", 1, 1),
        ("dog", "ball", 0, 1),
    ]


def test_crops_that_differ_come_first_then_the_doubtful_each_image_once() -> None:
    y_N = np.array([0, 0, 1, 1])
    first = np.array([[0.4, 0.6], [0.9, 0.1], [0.3, 0.7], [0.05, 0.95]])
    second = np.array([[0.1, 0.9], [0.8, 0.2], [0.45, 0.55], [0.6, 0.4]])
    found, differing = chosen(map(likeliest, [first, second]), y_N, most=3)
    assert differing == 3
    assert found == [(2, 0), (2, 3), (2, 2)]


@pytest.mark.parametrize(("hard", "shown"), [(4, [4, 1, 0]), (2, [4, 1, 0, 2])])
def test_the_hard_label_is_among_the_predictions_shown(hard: int, shown: list[int]) -> None:
    class Few:
        """What is read of prepared data."""

        classes = ("a", "b", "c", "d", "e")
        train = SimpleNamespace(labels=np.array([0, hard]))
        true_labels = np.array([0, 2])

    found = example(np.array([0.2, 0.3, 0.05, 0.05, 0.4]), 1, 7, Few())  # pyright: ignore[reportArgumentType]
    assert [Few.classes.index(name) for name, _, _ in found.predicted] == shown
    assert [is_hard for _, _, is_hard in found.predicted] == [c == hard for c in shown]
    assert (found.hard, found.noise) == (Few.classes[hard], hard != 2)


def test_a_pair_of_classes_is_shown_twice_at_most() -> None:
    p_NC = np.tile([[0.2, 0.8]], (9, 1))
    found, differing = chosen([likeliest(p_NC)], np.zeros(9, int))
    assert (len(found), differing) == (2, 9)


def test_a_mixed_crop_differs_where_its_class_is_neither_of_the_two() -> None:
    y_N, other_N = np.array([0, 0, 1, 1, 1]), np.array([1, 2, 2, -1, 1])
    p_NC = np.array([[0.1, 0.7, 0.2], [0.1, 0.8, 0.1], [0.6, 0.1, 0.3], [0.9, 0.1, 0.0], [0.3, 0.4, 0.3]])
    assert chosen([likeliest(p_NC)], y_N, other_VN=[other_N]) == ([(1, 1), (1, 2), (1, 4), (1, 0)], 2)


def test_a_mixed_crop_is_shown_as_it_was_seen_with_both_of_its_labels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    split = Split(images, np.array([0, 1, 2, 3]))  # pyright: ignore[reportArgumentType]
    data = Prepared(split, split, split, split.labels, tuple("abcd"), (0.0,), (1.0,), 1, 8, "hash")
    views = Views(flip=True, mixup=1.0, cutmix=1.0)
    drawn = draw(views, 5, "labels", 2, 4, 8)
    assert drawn.mixed is not None
    whole = render(torch.from_numpy(images), drawn, torch.arange(4), 8)
    mixed = mix(whole, whole[drawn.mixed.partner_N], drawn.mixed).round().byte().numpy()
    for row in range(4):
        assert np.array_equal(crop(data, views, 5, "labels", 2, row), mixed[row])
    found = example(np.array([0.1, 0.2, 0.3, 0.4]), 0, 2, data, (1, 0.25))
    assert (found.hard, found.other) == ("a", ("b", 0.25))
    assert found.predicted == (("d", 0.4, False), ("c", 0.3, False), ("b", 0.2, True), ("a", 0.1, True))


def test_an_image_without_a_label_differs_from_none_and_is_not_shown() -> None:
    y_N = np.array([0, -1, 1, -1])
    p_NC = np.array([[0.2, 0.8], [0.1, 0.9], [0.4, 0.6], [0.5, 0.5]])
    assert chosen([likeliest(p_NC)], y_N) == ([(1, 0), (1, 2)], 1)


def test_followers_are_all_that_learn_directly_or_not() -> None:
    reads = {"teacher": set(), "t1": {"teacher"}, "student": {"t1"}, "baseline": set(), "e": {"t1", "baseline"}}
    assert followers("teacher", reads) == {"t1", "student", "e"}
    assert followers("baseline", reads) == {"e"}
    assert followers("student", reads) == set()


def test_what_a_change_costs_is_the_same_number_in_every_process() -> None:
    """Those that learn from a network are a set, whose order is another one in each process."""
    seconds = {"teacher": 1.0, "large": 1e16, **{f"student {k}": 1.0 for k in range(11)}}
    networks = [
        SimpleNamespace(
            name=name,
            family="other",
            taught_by=() if name == "teacher" else ("teacher",),
            metrics={"cost": {"training_seconds": took}},
        )
        for name, took in seconds.items()
    ]
    of: Any = SimpleNamespace(networks=networks)
    assert bills(of)[0].again == 1e16 + 12, "added to the largest one by one they are lost"


def row(name: str, *teachers: str, kind: str = "trained") -> GraphRow:
    return GraphRow(name, name.split("/")[0], kind, "", teachers=teachers)


def test_times_of_two_devices_stand_in_charts_of_their_own() -> None:
    def timed(name: str, accuracy: float, **cost: Any) -> SimpleNamespace:
        metrics = {"bytes": 10, "flops": 10, "cost": cost}
        node = SimpleNamespace(provides=("weights",))
        return SimpleNamespace(name=name, family="f", metrics=metrics, node=node, test=accuracy, taught_by=())

    networks = [
        timed("teacher", 0.9, latency_ms=1.0, timed_on="A Card 9000"),
        timed("student", 0.8, latency_ms=0.5, timed_on="A Card 9000"),
        timed("file", 0.8, latency={"batch_1": {"ms": 4.0}}, timed_on="cpu"),
        timed("ensemble", 0.95),
    ]
    run: Any = SimpleNamespace(networks=networks, entries={each.name: each for each in networks})
    times = {cost.title: {p.name: p.cost for p in points(run, cost)} for cost in costs(run)[2:]}
    assert times == {
        "Time an image on A Card 9000": {"teacher": 0.001, "student": 0.0005},
        "Time an image on cpu": {"file": 0.004},
    }
    charts = [str(chart(cost, points(run, cost))) for cost in costs(run)]
    assert "time an image on A Card 9000" in charts[2]
    assert len({re.findall(r'id="([^"]+)"', each)[0] for each in charts}) == 4


def test_rails_join_every_learner_to_its_teachers_and_never_share_a_lane() -> None:
    table = [row("teacher"), row("t1", "teacher"), row("a", "t1"), row("b"), row("c", "b", "a"), row("d", "teacher")]
    graph = rails(table)
    joined = {(table[r1].name, table[r2].name) for (_, r1), (_, r2), _, _ in graph.edges}
    assert joined == {(t, each.name) for each in table for t in each.teachers}
    for (lane, start), (_, end), _, _ in graph.edges:
        between = [i for i in range(start + 1, end) if graph.lanes[i] == lane]
        assert not between, "a node lies on another's rail"
    assert graph.lanes[5] == graph.lanes[0]
    assert graph.width == 1 + max(graph.lanes)


def test_images_on_which_the_networks_differ_come_first_one_a_class() -> None:
    class Some:
        y_N = np.array([0, 0, 1, 2, 2])

        def right(self, name: str) -> np.ndarray:
            teacher, student, baseline = [1, 1, 1, 1, 1], [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
            return np.array({"teacher": teacher, "student": student, "baseline": baseline}[name], bool)

    assert pick(Some(), ["teacher", "student", "baseline"], 3) == [1, 2, 3]  # pyright: ignore[reportArgumentType]
