"""The comparison over seeds: tuned on validation, reported on test, paired by seed."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.commands import study
from pipeline.commands.study import FACTORS, HARD, TUNING_SEEDS, Arm, as_json, compare, table
from pipeline.data import prepared
from pipeline.evaluation.statistics import holm, p_value, paired
from pipeline.lineage.results import markdown
from pipeline.planning.specs.slots import SkipSpec
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from tests.training.runs import CPU, equal, furnish, inside

NAMES = ("soft_targets", "fitnet")
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("study")
    with inside(folder):
        yield furnish(folder)


@pytest.fixture(scope="module")
def arms(specs: dict[str, Any]) -> list[Arm]:
    return compare(specs, NAMES, SEEDS)


def test_every_arm_is_measured_with_every_seed(arms: list[Arm]) -> None:
    assert [arm.name for arm in arms] == [HARD, "method/soft_targets", "method/fitnet"]
    for arm in arms:
        assert arm.factor in FACTORS and arm.seconds > 0
        assert len(arm.validation) == len(arm.test) == len(SEEDS)
        assert all(0 <= each <= 1 for each in (*arm.validation, *arm.test))
    assert not {*SEEDS, *range(100)} & {*TUNING_SEEDS}


def test_the_table_is_of_the_arms_figures(arms: list[Arm]) -> None:
    header, hard, *others = table(arms)
    assert len(header) == len(hard) == 7 and hard[0] == "hard labels" and hard[4] == ""
    for arm, cells in zip(arms[1:], others, strict=True):
        assert cells[0] == arm.name.removeprefix("method/")
        mean = 100 * sum(arm.test) / 2
        assert cells[3].startswith(f"{mean:.1f} ± ")
        difference = paired(arm.test, arms[0].test)
        assert difference.interval is not None
        low, high = difference.interval
        assert cells[4] == f"{100 * difference.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    corrected = holm([p_value(arm.test, arms[0].test) for arm in arms[1:]])
    assert [cells[5] for cells in (hard, *others)] == ["", *(f"{p:.3f}" for p in corrected)]
    lines = markdown(table(arms)).splitlines()
    assert len(lines) == 5 and all(line.count("|") == 8 for line in lines)
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"


def test_differences_are_seed_by_seed() -> None:
    """Both arms rise from seed to seed by as much: their deviation is large, that of the difference is nil."""
    base = Arm(HARD, 1.0, (0.5, 0.5), (0.50, 0.70), 1.0)
    better = Arm("method/soft_targets", 1.0, (0.5, 0.5), (0.52, 0.72), 1.0)
    assert table([base, better])[2][3:5] == ("62.0 ± 14.1", "+2.0 [+2.0, +2.0]")


def test_the_metric_that_decides_chooses_the_factor_and_is_what_is_reported(
    specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each factor leaves its own figure: as an NLL the least is chosen."""
    reached = {0.3: 0.7, 1.0: 0.4, 3.0: 0.5}
    monkeypatch.setattr(study, "_run", lambda specs, name, factor, *rest: (reached[factor], reached[factor]))
    falling = {**specs, HARD: replace(specs[HARD], select="nll")}
    for of, factor, shown in ((specs, 0.3, "70.0"), (falling, 1.0, "0.400")):
        (arm,) = compare(of, [], SEEDS)
        assert (arm.factor, arm.validation) == (factor, (reached[factor],) * 2)
        header, cells = table([arm])
        assert cells[2] == shown and header[2] == ("validation" if factor == 0.3 else "validation NLL")


def test_a_training_is_measured_by_that_metric(specs: dict[str, Any]) -> None:
    data = prepared.read(DATA)
    found = {}
    for select in (None, "nll"):
        of = {**specs, HARD: replace(specs[HARD], select=select)}
        found[select] = study._run(of, HARD, 1.0, 0, data, CPU)
    assert max(found[None]) <= 1 < min(found["nll"])


def test_all_figures_are_kept(arms: list[Arm]) -> None:
    kept = json.loads(json.dumps(as_json(arms)))
    assert [(each["name"], tuple(each["test"])) for each in kept] == [(arm.name, arm.test) for arm in arms]
    assert {*kept[0]} == {"name", "factor", "validation", "test", "seconds"}


def test_a_seed_decides_start_and_order_for_all_arms_alike(specs: dict[str, Any]) -> None:
    data = prepared.read(DATA)

    def start(name: str, factor: float, seed: int) -> Training:
        spec = study._scaled(specs[name], factor, seed)
        spec = with_seen_views(spec, len(data.train), len(data.classes))
        teacher, _ = study.open_teacher(spec, data, CPU)
        return Training(spec.training, data, teacher, CPU)

    hard = start(HARD, 0.3, 7)
    for name in NAMES:
        of = start(f"method/{name}", 3.0, 7)
        assert equal(hard.model.state_dict(), of.model.state_dict()) and of.spec.seed == hard.spec.seed == 7
    assert not equal(hard.model.state_dict(), start(HARD, 0.3, 8).model.state_dict())


def test_one_setting_is_scaled_and_nothing_else(specs: dict[str, Any]) -> None:
    before = {name: json.dumps(spec.as_json()) for name, spec in specs.items()}
    hard, fitnet = study._scaled(specs[HARD], 3.0, 5), study._scaled(specs["method/fitnet"], 3.0, 5)
    assert {name: json.dumps(spec.as_json()) for name, spec in specs.items()} == before
    assert hard.training.recipe["lr"] == pytest.approx(3 * specs[HARD].training.recipe["lr"])
    assert hard.training.objective == specs[HARD].training.objective
    terms = fitnet.training.objective
    assert terms["cross_entropy"] == specs["method/fitnet"].training.objective["cross_entropy"]
    assert (terms["soft_targets"]["weight"], terms["soft_targets"]["final"]) == pytest.approx((2.7, 0.3))
    assert fitnet.training.recipe == specs["method/fitnet"].training.recipe
    assert fitnet.training.seed == 5 and fitnet.initial == "method/hint"


def test_it_trains_what_the_stage_trains(specs: dict[str, Any], arms: list[Arm]) -> None:
    """One reported figure made again, by hand: the arm's factor, that seed, clean test images."""
    arm = arms[1]
    spec = study._scaled(specs[arm.name], arm.factor, SEEDS[1])
    data = prepared.read(DATA)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    teacher, _ = study.open_teacher(spec, data, CPU)
    of = Training(spec.training, data, teacher, CPU)
    for _ in range(of.recipe.epochs):
        for _ in of.epoch():
            pass
        of.at.epoch += 1
    pixels = torch.from_numpy(np.array(data.test.images)).float() / 255
    with torch.no_grad():
        z_NC = of.model.eval()((pixels - of.mean_C[:, None, None]) / of.std_C[:, None, None])
    right = (z_NC.argmax(1).numpy() == data.test.labels).mean()
    assert arm.test[1] == pytest.approx(right, abs=1e-6)


def test_the_second_stage_starts_from_the_first_one(specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Training] = []
    epoch = Training.epoch
    starts: list[dict[str, torch.Tensor]] = []

    def note(self: Training):
        if self not in trained:
            trained.append(self)
            starts.append({key: tensor.clone() for key, tensor in self.model.state_dict().items()})
        yield from epoch(self)

    monkeypatch.setattr(Training, "epoch", note)
    data = prepared.read(DATA)
    of = study._train(specs, "method/fitnet", 1.0, 3, data, CPU)
    hint, second = trained
    assert second is of and [*hint.learners[0].objective.terms] == ["fitnet_hint"]
    assert equal(starts[1], hint.model.state_dict()) and not equal(starts[0], starts[1])
    assert not equal(of.model.state_dict(), starts[1])


def test_the_factor_is_the_best_on_validation(specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Test accuracy favours the first factor, validation the last but one seed's mean: only the latter counts."""
    runs: list[tuple[str, float, int]] = []

    def known(specs: Any, name: str, factor: float, seed: int, data: Any, device: Any) -> tuple[float, float]:
        runs.append((name, factor, seed))
        validation = {0.3: (0.9, 0.1), 1.0: (0.6, 0.6), 3.0: (0.2, 0.8)}[factor]
        return (validation[seed - TUNING_SEEDS[0]] if seed in TUNING_SEEDS else 0.5), 1.0 - factor / 4

    monkeypatch.setattr(study, "_run", known)
    arms = compare(specs, ["soft_targets"], SEEDS)
    assert [arm.factor for arm in arms] == [1.0, 1.0]
    assert all(arm.test == (0.75, 0.75) for arm in arms)
    for name in (HARD, "method/soft_targets"):  # the same number of trials for each arm
        tuned = [(factor, seed) for factor in FACTORS for seed in TUNING_SEEDS]
        assert [run[1:] for run in runs if run[0] == name] == [*tuned, *((1.0, seed) for seed in SEEDS)]


def test_test_labels_decide_nothing_but_the_test_figures(
    specs: dict[str, Any], arms: list[Arm], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared.read(DATA)
    other = replace(data, test=replace(data.test, labels=(data.test.labels + 1) % 10))
    monkeypatch.setattr(prepared, "read", lambda folder: other)
    again = compare(specs, NAMES[:1], SEEDS)
    for arm, moved in zip(arms, again, strict=False):
        assert (moved.factor, moved.validation) == (arm.factor, arm.validation)
        assert moved.test != arm.test


@pytest.mark.parametrize(
    ("name", "message"),
    [("soft_target", "unknown method 'soft_target', did you mean 'soft_targets'"), ("hint", "unknown method 'hint'")],
)
def test_what_cannot_be_compared_is_refused_before_training(
    specs: dict[str, Any], name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "_run", lambda *_: pytest.fail("trained"))
    with pytest.raises(UserError, match=f"study: {message}"):
        compare(specs, ["soft_targets", name], SEEDS)


def test_a_method_that_params_yaml_does_not_name_cannot_be_compared(specs: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="unknown method 'pkt'"):
        compare(specs | {"method/pkt": SkipSpec(node="method/pkt", code={})}, ["pkt"], SEEDS)


def test_the_free_setting_of_a_balanced_term_is_its_balance(specs: dict[str, Any]) -> None:
    objective = {"cross_entropy": {"weight": 1.0}, "dkd": {"balance": 2.0, "final": None}}
    spec = replace(specs["method/dkd"], training=replace(specs["method/dkd"].training, objective=objective))
    assert study._scaled(spec, 3.0, 5).training.objective["dkd"] == {"balance": 6.0, "final": None}
