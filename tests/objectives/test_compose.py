"""The weighted sum of terms: what it needs, what it gives, what it refuses."""

import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.config.term import Schedule
from pipeline.objectives.compose import Objective, Signals
from tests import reference
from tests.objectives.losses import loss, signals

BATCH = signals(5, 4)
WITH_TEACHER = Signals(z_BC=BATCH["z_BC"], y_B=BATCH["y_B"], t_BC=BATCH["t_BC"])
WITHOUT = Signals(z_BC=BATCH["z_BC"], y_B=BATCH["y_B"])


def weighted(objective, losses, share=0.0):
    return objective.weighted(losses, objective.weights(share))


def test_terms_are_named_unweighted_and_summed_by_weight():
    objective = Objective({"cross_entropy": {"weight": 0.1}, "soft_targets": {"weight": 0.9, "temperature": 2}})
    losses = objective(WITH_TEACHER)
    assert list(losses) == ["cross_entropy", "soft_targets"]
    ce = loss("cross_entropy")(BATCH["z_BC"], BATCH["y_B"])
    kd = loss("soft_targets")(BATCH["z_BC"], BATCH["t_BC"], temperature=2.0)
    assert losses["cross_entropy"] == ce
    assert losses["soft_targets"] == kd
    total = torch.stack(weighted(objective, losses)).sum()
    torch.testing.assert_close(total, 0.1 * ce + 0.9 * kd)
    assert total.dtype == torch.float32
    assert total.shape == ()


def test_weight_and_settings_have_defaults():
    objective = Objective({"soft_targets": {}})
    expected = loss("soft_targets")(BATCH["z_BC"], BATCH["t_BC"], temperature=4.0)
    assert weighted(objective, objective(WITH_TEACHER)) == [expected]


@pytest.mark.parametrize(
    "schedule",
    [
        {"weight": 2.0},
        {"weight": 2.0, "warmup": 0.5},
        {"weight": 0.9, "final": 0.1},
        {"weight": 1.0, "final": 3.0, "warmup": 0.2},
        {"weight": 1.0, "final": 0.0},
    ],
    ids=str,
)
def test_a_weight_rises_and_fades_as_its_slow_twin(schedule):
    objective = Objective({"soft_targets": schedule})
    losses = objective(WITH_TEACHER)
    for step in range(20):
        expected = reference.weight(schedule, step, 20) * losses["soft_targets"]
        torch.testing.assert_close(weighted(objective, losses, step / 20), [expected])


def test_a_weighted_loss_has_the_weighted_gradient():
    z_BC = BATCH["z_BC"].clone().requires_grad_()
    objective = Objective({"logit_matching": {"weight": 3.0}})
    (found,) = weighted(objective, objective(Signals(z_BC, BATCH["y_B"], BATCH["t_BC"])))
    found.backward()
    assert z_BC.grad is not None
    torch.testing.assert_close(z_BC.grad, 3.0 * (BATCH["z_BC"] - BATCH["t_BC"]) / 5)


def test_needs_are_those_of_all_terms():
    assert Objective({"cross_entropy": {}}).needs == {"z_BC", "y_B"}
    assert Objective({"born_again": {}}).needs == {"z_BC", "t_BC"}
    assert Objective({"born_again": {}, "cross_entropy": {}}).needs == {"z_BC", "y_B", "t_BC"}


def test_hard_labels_alone_need_no_teacher():
    assert set(Objective({"cross_entropy": {}})(WITHOUT)) == {"cross_entropy"}


def test_a_missing_teacher_is_named():
    with pytest.raises(UserError, match=r"objective\.soft_targets needs t_BC"):
        Objective({"soft_targets": {}})(WITHOUT)


def test_a_loss_that_takes_an_unknown_signal_is_refused(tmp_path, monkeypatch):
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "odd.py").write_text("def odd(z_BC, s_BC): ...\n")
    monkeypatch.setattr("pipeline.config.extension.PIPELINE", tmp_path)
    with pytest.raises(UserError, match=r"odd\.py: unknown signal 's_BC'"):
        Objective({"odd": {}})


def test_weights_of_classes_reach_the_terms_on_hard_labels_and_no_others():
    """An image counts by its own class; a term that is handed no hard label stays as it is."""
    terms = {"cross_entropy": {}, "cwtm": {}, "dkd": {}, "soft_targets": {}}
    weights_C = torch.tensor([0.5, 1.0, 2.0, 4.0])
    plain, heavy = Objective(terms)(WITH_TEACHER), Objective(terms, class_weights_C=weights_C)(WITH_TEACHER)
    z_BC, y_B, t_BC, w_B = BATCH["z_BC"], BATCH["y_B"], BATCH["t_BC"], weights_C[BATCH["y_B"]]
    torch.testing.assert_close(heavy["cross_entropy"], reference.cross_entropy(z_BC, y_B, w_B))
    torch.testing.assert_close(heavy["cwtm"], reference.cwtm(z_BC, t_BC, y_B, w_B))
    assert heavy["cross_entropy"] != plain["cross_entropy"] and heavy["cwtm"] != plain["cwtm"]
    assert heavy["dkd"] == plain["dkd"] and heavy["soft_targets"] == plain["soft_targets"]
    assert Objective(terms, class_weights_C=weights_C).state_dict() == {}, "they follow from the data"
    ones = Objective(terms, class_weights_C=torch.ones(4))(WITH_TEACHER)
    for name in terms:
        torch.testing.assert_close(ones[name], plain[name])


def test_it_has_nothing_to_train():
    objective = Objective({"cross_entropy": {}, "soft_targets": {}})
    assert list(objective.parameters()) == []
    assert objective.state_dict() == {}


def test_a_weight_rises_and_then_goes_to_its_final_one() -> None:
    rising = Schedule(weight=1.0, warmup=0.5, final=3.0)
    assert [rising.at(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.75, 2, 2.5, 3]
    assert [Schedule(weight=2.0).at(share) for share in (0, 0.5, 1)] == [2, 2, 2]
    assert [Schedule(weight=2.0, final=0.0).at(share) for share in (0, 0.5, 1)] == [2, 1, 0]
