"""Which layers are compared: by kind, by name, and the sentence for those that do not fit."""

from typing import Any

import pytest
import torch
from torch import Size

from pipeline.base.errors import UserError
from pipeline.models.build import build
from pipeline.models.taps import shapes
from pipeline.objectives.compose import Objective, Signals
from pipeline.objectives.pairing import Pair, pairs

WHERE = "params.yaml, objective.rkd"
STUDENT = {"stage1": Size((4, 4, 4)), "stage2": Size((8, 2, 2)), "embedding": Size((8,)), "logits": Size((10,))}
TEACHER = {
    "stage1": Size((16, 8, 8)),
    "stage2": Size((32, 4, 4)),
    "stage3": Size((64, 2, 2)),
    "embedding": Size((64,)),
    "logits": Size((10,)),
}


def test_stages_go_in_pairs_from_the_last_backwards() -> None:
    assert pairs("stages", STUDENT, TEACHER, WHERE) == (Pair("stage1", "stage2"), Pair("stage2", "stage3"))
    assert pairs("stages", TEACHER, STUDENT, WHERE) == (Pair("stage2", "stage1"), Pair("stage3", "stage2"))
    same = pairs("stages", TEACHER, TEACHER, WHERE)
    assert same == tuple(Pair(name, name) for name in ("stage1", "stage2", "stage3"))


@pytest.mark.parametrize("kind", ["embedding", "logits"])
def test_a_kind_is_one_pair(kind: str) -> None:
    assert pairs(kind, STUDENT, TEACHER, WHERE) == (Pair(kind, kind),)


def test_names_go_as_they_are_given() -> None:
    asked = {"stage2": "stage1", "stage1": "stage1", "embedding": "stage3", "logits": "logits"}
    assert pairs(asked, STUDENT, TEACHER, WHERE) == tuple(Pair(own, other) for own, other in asked.items())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"stage3": "stage3"}, r"objective\.rkd\.layers: unknown layer of the student 'stage3', did you mean 'stage"),
        ({"stage1": "stage4"}, r"objective\.rkd\.layers: unknown layer of the teacher 'stage4', did you mean 'stage"),
        ({"stage1": "embeding"}, r"unknown layer of the teacher 'embeding', did you mean 'embedding'\?"),
        ({"conv": "stage1"}, r"unknown layer of the student 'conv', valid: embedding, logits, stage1, stage2"),
    ],
)
def test_a_name_that_is_not_there_meets_the_nearest_that_is(layers: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pairs(layers, STUDENT, TEACHER, WHERE)


def test_stages_of_a_network_without_any() -> None:
    with pytest.raises(UserError, match=r"layers is stages, but a network has none: use embedding or logits"):
        pairs("stages", {"embedding": Size((8,)), "logits": Size((10,))}, TEACHER, WHERE)


def test_features_need_a_network_that_teaches() -> None:
    with pytest.raises(UserError, match=r"objective\.rkd compares features, and there is no teacher network"):
        Objective({"rkd": {"layers": "embedding"}}, STUDENT, None)


@pytest.mark.parametrize(
    ("term", "settings", "message"),
    [
        (
            "attention_transfer",
            {"layers": {"stage1": "stage1", "embedding": "stage3"}},
            r"objective\.attention_transfer, layers stage1: stage1, embedding: stage3: .*\(8,\).*before the pooling",
        ),
        ("attention_transfer", {"layers": "logits"}, r"attention_transfer, layers logits: logits: .*\(10,\)"),
        (
            "fitnet_hint",
            {"layers": {"stage1": "stage2"}, "kernel": 5},
            r"objective\.fitnet_hint, layers stage1: stage2: .*pair 1: .*kernel 5 .*at most 4 fits",
        ),
        (
            "fitnet_hint",
            {"layers": {"stage1": "stage3"}, "strict": True},
            r"layers stage1: stage3: .*kernel 3 would fit",
        ),
        ("fsp", {"layers": {"stage1": "stage1"}}, r"objective\.fsp, layers stage1: stage1: .*name 2 or more"),
        (
            "fsp",
            {"layers": {"stage1": "stage1", "embedding": "stage3"}},
            r"objective\.fsp, layers stage1: stage1, embedding: stage3: fsp, pair 2: .*before the pooling",
        ),
    ],
)
def test_layers_that_do_not_fit_are_named_before_training(term: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective({term: settings}, STUDENT, TEACHER)


def test_it_asks_for_each_layer_once_and_for_logits_not_at_all() -> None:
    terms = {
        "rkd": {"layers": {"stage2": "stage3", "logits": "logits"}},
        "attention_transfer": {"layers": "stages"},
        "cosine_table": {"layers": "logits"},
    }
    objective = Objective(terms, STUDENT, TEACHER)
    assert objective.student_layers == ("stage2", "stage1")
    assert objective.teacher_layers == ("stage3", "stage2")
    assert {"student", "teacher"} == objective.needs


def test_learned_adapters_are_trained_and_saved_with_the_objective() -> None:
    layers = {"layers": {"stage1": "stage2"}}
    objective = Objective({"cross_entropy": {}, "fitnet_hint": layers}, STUDENT, TEACHER)
    assert sum(each.numel() for each in objective.parameters()) == 32 * (4 + 1)
    assert all(name.startswith("adapters.fitnet_hint.") for name in objective.state_dict())


def test_logits_as_layers_are_the_logits() -> None:
    z_BC, t_BC = (torch.randn(5, 10, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    signals = Signals(z_BC, torch.zeros(5, dtype=torch.long), t_BC)
    named = Objective({"cosine_table": {"layers": {"logits": "logits"}}}, STUDENT, TEACHER)
    kind = Objective({"cosine_table": {"layers": "logits"}}, STUDENT, TEACHER)
    features = Objective({"cosine_table": {"layers": "embedding"}}, STUDENT, TEACHER)
    given = features(Signals(z_BC, signals.y_B, t_BC, {"embedding": z_BC}, {"embedding": t_BC}))["cosine_table"]
    assert named(signals)["cosine_table"] == kind(signals)["cosine_table"] == given
    same = kind(Signals(z_BC, signals.y_B, z_BC))["cosine_table"]
    assert given > 0.01 and same == pytest.approx(0.0, abs=1e-6)


def test_each_pair_gets_its_own_tensors() -> None:
    """Swapping the teacher's layers must change the loss; the order in the dictionary must not."""
    generator = torch.Generator().manual_seed(0)
    own = {name: torch.randn(3, *shape, generator=generator) for name, shape in STUDENT.items()}
    other = {name: torch.randn(3, *shape, generator=generator) for name, shape in TEACHER.items()}
    signals = Signals(own["logits"], torch.zeros(3, dtype=torch.long), other["logits"], own, other)

    def loss(layers: dict[str, str]) -> float:
        objective = Objective({"attention_transfer": {"layers": layers}}, STUDENT, TEACHER)
        return float(objective(signals)["attention_transfer"])

    whole = loss({"stage1": "stage1", "stage2": "stage3"})
    assert whole == pytest.approx(loss({"stage1": "stage1"}) + loss({"stage2": "stage3"}), rel=1e-6)
    assert whole == pytest.approx(loss({"stage2": "stage3", "stage1": "stage1"}), rel=1e-6)
    assert whole != pytest.approx(loss({"stage1": "stage3", "stage2": "stage1"}), rel=1e-3)


def test_the_networks_shapes_are_those_that_their_taps_give() -> None:
    net = build({"family": "plain", "widths": [4, 8]}, channels=1, size=8, classes=10)
    assert shapes(net, 1, 8) == STUDENT
    net = build({"family": "residual", "depth": 8, "width": 16}, channels=1, size=8, classes=10)
    assert shapes(net, 1, 8) == TEACHER
