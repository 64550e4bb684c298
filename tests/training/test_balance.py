"""`balance`: the weight that makes a term's gradient so many times cross entropy's, and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.data.rows import Rows
from pipeline.lineage import node
from pipeline.objectives.compose import Signals
from pipeline.objectives.cross_entropy import cross_entropy
from pipeline.objectives.hard_labels import NONE, Mixed, counts
from pipeline.planning.specs.training import TrainSpec
from pipeline.training import loop
from pipeline.training.balance import _cross_entropy, relative_gradients
from pipeline.training.batch import Batch
from pipeline.training.learn import learn
from pipeline.training.loop import Training
from pipeline.training.teacher import TeacherOutput
from tests.training import runs
from tests.training.runs import CPU, changed, curves, equal, live, run, stopped_after, tensors, training

# Stored labels, labels drawn at each call, a warm-up, live features with adapters and without, peers.
ASKED = [
    ("direct", "soft_targets"),
    ("method/dkpp", "dkpp"),
    ("method/dkd", "dkd"),
    ("method/fitnet_joint", "fitnet_hint"),
    ("method/hint", "fitnet_hint"),
    ("method/rkd", "rkd"),
    ("mutual", "mutual"),
]
TIMES = 3.0


@pytest.mark.parametrize("known", [4, 2])
def test_it_compares_with_the_objective_of_the_hard_labels_mixtures(known: int) -> None:
    drawn = torch.Generator().manual_seed(0)
    z_BC, y_B = torch.randn(4, 3, generator=drawn), torch.tensor([0, 1, 2, 0])
    y_B[known:] = NONE
    mixed = Mixed(torch.tensor([2, 2, 0, 1]), torch.rand(4, generator=drawn))
    for each in (mixed, None):
        l_B = counts(y_B, each)
        own, expected = _cross_entropy(z_BC, y_B, l_B, each), cross_entropy(z_BC, y_B, None, l_B, each)
        torch.testing.assert_close(own, expected)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("balance")
    with runs.inside(folder):
        yield runs.furnish(folder)


def with_term(spec: TrainSpec, term: str, *without: str, **settings: Any) -> TrainSpec:
    """The spec, one term's settings changed and some of them taken out, for all of its networks."""
    old = spec.training.objective
    own = {key: value for key, value in (old[term] | settings).items() if key not in without}
    objective = old | {term: own}
    members = spec.training.members and tuple(replace(each, objective=objective) for each in spec.training.members)
    return changed(spec, objective=objective, members=members)


def balancing(spec: TrainSpec, term: str, times: float = TIMES) -> TrainSpec:
    return with_term(spec, term, "weight", balance=times)


def begun(spec: TrainSpec) -> list[float]:
    """The weights of the one balanced term, found before the first step."""
    of = training(spec)
    next(iter(of.epoch()))
    return [weight for k in range(len(of.learners)) for weight in of.balanced(k).values()]


def slow(of: Training, term: str) -> list[float]:
    """For each network, the median ratio of the gradients of a term and of cross entropy, by plain backward passes."""
    ratios: list[list[float]] = [[] for _ in of.learners]
    for batch in [*of.opening(8)]:
        x_BCHW, y_B, teacher = batch.x_BCHW, batch.y_B, batch.teacher
        for k, learner in enumerate(of.learners):
            norms = []
            for hard in (True, False):
                torch.manual_seed(0)
                for each in of.learners:
                    each.train()
                outputs = [each.forward(x_BCHW) for each in of.learners]
                peers = [z_BC.detach() for j, z_BC in enumerate(outputs) if j != k]
                signals = Signals(outputs[k], y_B, teacher.t_BC, learner.features, teacher.features, peers or None)
                loss = F.cross_entropy(outputs[k], y_B) if hard else learner.objective(signals)[term]
                learner.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norms.append({i: p.grad.clone() for i, p in enumerate(learner.parameters) if p.grad is not None})
            both = norms[0].keys() & norms[1].keys()
            square = [sum(float(each[i].double().square().sum()) for i in both) for each in norms]
            ratios[k].append((square[1] / square[0]) ** 0.5)
    return [sum(sorted(each)[3:5]) / 2 for each in ratios]


@pytest.mark.parametrize(("name", "term"), [each for each in ASKED if each[1] != "dkpp"])
def test_the_gradient_is_so_many_times_cross_entropys(specs: dict[str, Any], name: str, term: str) -> None:
    found = begun(balancing(specs[name], term))
    expected = [TIMES / ratio for ratio in slow(training(specs[name]), term)]
    assert found == pytest.approx(expected, rel=6e-3)
    assert all(weight == float(f"{weight:.3g}") for weight in found)


@pytest.mark.parametrize(("name", "term"), ASKED)
def test_training_is_that_with_the_weight_given_bit_for_bit(
    specs: dict[str, Any], name: str, term: str, tmp_path: Path
) -> None:
    of = training(balancing(specs[name], term))
    run(of, tmp_path / "balanced")
    (weight,) = of.balanced().values()
    assert weight > 0
    given = with_term(specs[name], term, weight=weight)
    if given.training.members:
        members = [
            replace(each, objective=each.objective | {term: each.objective[term] | {"weight": of.balanced(k)[term]}})
            for k, each in enumerate(given.training.members)
        ]
        given = changed(given, members=tuple(members))
    plain = training(given)
    run(plain, tmp_path / "given")
    assert equal(tensors(of), tensors(plain))
    assert curves(of) == curves(plain)
    assert plain.balanced() == {}


def test_statistics_and_generators_are_left_as_they_were(specs: dict[str, Any]) -> None:
    of = training(balancing(specs["direct"], "soft_targets"))
    before = {name: buffer.clone() for name, buffer in of.model.named_buffers()}
    generator = torch.get_rng_state()
    images = torch.randn(8, 4, of.data.channels, of.data.size, of.data.size)
    torch.set_rng_state(generator)
    hard, rows = torch.zeros(4, dtype=torch.long), Rows.on(CPU.where, np.arange(4))
    batches = [Batch(rows, each, hard, TeacherOutput(torch.zeros(4, 10))) for each in images]
    relative_gradients(of.learners, batches)
    after = dict(of.model.named_buffers())
    assert before and all(torch.equal(each, after[name]) for name, each in before.items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_live_teacher_balances_as_its_stored_labels_do(specs: dict[str, Any]) -> None:
    spec = balancing(specs["direct"], "soft_targets")
    of = live(spec)
    next(iter(of.epoch()))
    assert [*of.balanced().values()] == begun(spec)


def test_a_resumed_training_takes_the_weight_from_its_state(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = balancing(specs["method/fitnet_joint"], "fitnet_hint")
    whole = training(spec)
    run(whole, tmp_path / "whole")
    stopped_after(training(spec), tmp_path / "stopped", 1)

    def again(*arguments: Any) -> Any:
        raise AssertionError("it was found before")

    monkeypatch.setattr(loop, "balance", again)
    resumed = training(spec)
    run(resumed, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(resumed))
    assert whole.balanced() == resumed.balanced() != {}
    finished = training(spec)
    run(finished, tmp_path / "stopped")
    assert finished.balanced() == whole.balanced()


def test_the_weight_stands_in_the_node_of_each_network(
    specs: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, term in (("direct", "soft_targets"), ("mutual", "mutual")):
        spec = balancing(specs[name], term)
        learn(spec)
        weights = begun(spec)
        names = [f"{name}/members/{k}" for k in (1, 2)] if spec.training.members else [name]
        assert [(node.read(each).balanced or {})[term] for each in names] == weights
        assert f"objective.{term}.balance: weight {weights[0]:g}\n" in capsys.readouterr().out
    learn(specs["direct"])
    assert node.read("direct").balanced is None


def test_a_weight_is_at_most_100_times_the_default(specs: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    spec = balancing(specs["method/pkt"], "pkt", 1e6)
    assert begun(spec) == [6000.0]  # the default is 60
    assert "weight 6000, the most that it may be," in capsys.readouterr().out


def test_a_term_without_a_gradient_cannot_be_balanced(specs: dict[str, Any]) -> None:
    spec = with_term(balancing(specs["method/dkd"], "dkd"), "dkd", alpha=0.0, beta=0.0)
    with pytest.raises(UserError, match=r"objective\.dkd\.balance: .* 0 times that of cross entropy"):
        begun(spec)
