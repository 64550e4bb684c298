"""Mutual learning against two (or more) hand-written alternating steps."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.paths import CURVES, METRICS
from pipeline.data.rows import Rows
from pipeline.lineage import node
from pipeline.models.build import build
from pipeline.objectives.compose import Objective, Signals
from pipeline.planning.specs.training import NetworkSettings, TrainSpec
from pipeline.training.learn import learn
from pipeline.training.learner import Learner
from pipeline.training.loop import Training
from tests.training.runs import equal, furnish, inside, planned, training

ARCHITECTURES = {
    "p1": {"family": "plain", "widths": [4, 8]},
    "p2": {"family": "plain", "widths": [6]},
    "p3": {"family": "plain", "widths": [4, 8]},
}
RATE, MOMENTUM, DECAY = 0.1, 0.9, 0.01
SEQUENTIAL, SIMULTANEOUS = "sequential", "simultaneous"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("mutual")
    with inside(folder):
        furnish(folder)
        yield folder


def spec(folder: Path, peers: int, update: str, clip: float | None, **change: Any) -> TrainSpec:
    """The spec of `mutual` at a constant learning rate, with networks of different shape."""
    constant = {"lr": RATE, "momentum": MOMENTUM, "weight_decay": DECAY, "schedule": "constant", "warmup": 0.0}
    section = {"peers": peers, "update": update, "recipe": constant | {"clip": clip}, **change}
    whole = planned(folder, {"mutual": section | {"architectures": ARCHITECTURES}})
    return whole["mutual"]


class Peer:
    """A network and its optimiser, written out."""

    def __init__(self, member: NetworkSettings, clip: float | None) -> None:
        torch.manual_seed(member.seed)
        self.net = build(member.architecture, channels=1, size=8, classes=10)
        self.clip = clip
        self.speed = [torch.zeros_like(parameter) for parameter in self.net.parameters()]

    def step(self, loss: Tensor) -> float:
        """SGD with Nesterov's momentum (Sutskever et al. 2013, in torch's form); return the gradient's norm."""
        gradients = torch.autograd.grad(loss, list(self.net.parameters()))
        norm = sum(float(gradient.square().sum()) for gradient in gradients) ** 0.5
        scale = 1.0 if self.clip is None or norm <= self.clip else self.clip / norm
        with torch.no_grad():
            for parameter, gradient, speed in zip(self.net.parameters(), gradients, self.speed, strict=True):
                slope = scale * gradient + DECAY * parameter
                speed.mul_(MOMENTUM).add_(slope)
                parameter.sub_(RATE * (slope + MOMENTUM * speed))
        return norm


def kl(p_BC: Tensor, q_BC: Tensor) -> Tensor:
    """KL(p || q) of probabilities: sum over classes, mean over the batch."""
    return (p_BC * (p_BC.log() - q_BC.log())).sum() / len(p_BC)


def loss(z_KBC: list[Tensor], peers_KBC: list[Tensor], k: int, y_B: Tensor) -> Tensor:
    """CE(y, z_k) + 1/(K-1) sum_j KL(p_j || p_k), where p_j is of the last logits of peer j."""
    q_BC = z_KBC[k].softmax(1)
    hard = -q_BC.log()[torch.arange(len(y_B)), y_B].mean()
    others = [kl(peers_KBC[j].softmax(1), q_BC) for j in range(len(peers_KBC)) if j != k]
    return hard + sum(others, torch.zeros(())) / len(others)


def alternate(peers: list[Peer], x_BCHW: Tensor, y_B: Tensor, sequential: bool) -> list[float]:
    """One batch by hand: every network goes forward, then one steps after the other; return the norms."""
    z_KBC = [peer.net(x_BCHW) for peer in peers]
    detached_KBC = [z_BC.detach() for z_BC in z_KBC]
    norms = []
    for k, peer in enumerate(peers):
        norms.append(peer.step(loss(z_KBC, detached_KBC, k, y_B)))
        if sequential:
            # A copy goes forward: the network's own running statistics are left alone.
            with torch.no_grad():
                detached_KBC[k] = copy.deepcopy(peer.net)(x_BCHW)
    return norms


def watched(of: Training) -> list[tuple[Tensor, Tensor]]:
    """The batches that a training will see, images and labels, in order; kept as it goes."""
    batches: list[tuple[Tensor, Tensor]] = []
    output = of.teacher.output

    def keep(v: int, rows: Rows, x_BCHW: Tensor) -> Any:
        batches.append((x_BCHW.clone(), of.labels_N[rows.device_B]))
        return output(v, rows, x_BCHW)

    of.teacher.output = keep
    return batches


def through(of: Training) -> None:
    """All epochs."""
    for _ in range(of.recipe.epochs):
        for _ in of.epoch():
            pass
        of.at.epoch += 1


def apart(a: nn.Module, b: nn.Module) -> float:
    """The largest difference of any parameter or buffer."""
    mine, other = a.state_dict(), b.state_dict()
    return max(float((mine[key].double() - other[key].double()).abs().max()) for key in mine)


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("update", [SEQUENTIAL, SIMULTANEOUS])
@pytest.mark.parametrize("peers", [2, 3])
def test_it_is_hand_written_alternating_steps(folder: Path, peers: int, update: str, clip: float | None) -> None:
    asked = spec(folder, peers, update, clip)
    of = training(asked)
    batches = watched(of)
    through(of)
    assert len(batches) == 8 and len(of.learners) == peers
    norms = []
    right, wrong = ([Peer(member, clip) for member in asked.training.members or ()] for _ in range(2))
    for x_BCHW, y_B in batches:
        norms += alternate(right, x_BCHW, y_B, update == SEQUENTIAL)
        alternate(wrong, x_BCHW, y_B, update != SEQUENTIAL)
    for network, peer, other in zip(of.learners, right, wrong, strict=True):
        assert apart(network.model, peer.net) < 1e-6
        assert apart(network.model, other.net) > 1e-3  # the test can see the difference
    assert any(norm > 0.5 for norm in norms)  # so that clipping changes something


@pytest.mark.parametrize("update", [SEQUENTIAL, SIMULTANEOUS])
def test_each_network_learns_from_its_peers_last_logits(
    folder: Path, update: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = training(spec(folder, 3, update, None))
    first: list[Tensor] = []
    given: list[list[Tensor]] = []
    compute = Objective.forward

    def note(self: Objective, signals: Signals) -> dict[str, Tensor]:
        assert signals.peers is not None
        given.append([*signals.peers])
        return compute(self, signals)

    def keep(learner: Learner) -> Callable[[Tensor], Tensor]:
        forward = learner.forward

        def kept(x_BCHW: Tensor) -> Tensor:
            z_BC = forward(x_BCHW)
            if not given:
                first.append(z_BC.detach())
            return z_BC

        return kept

    monkeypatch.setattr(Objective, "forward", note)
    for learner in of.learners:
        learner.forward = keep(learner)
    next(of.epoch())
    late = update == SEQUENTIAL
    assert all(not peer.requires_grad for peers in given for peer in peers)
    assert [torch.equal(peer, first[j]) for peer, j in zip(given[0], (1, 2), strict=True)] == [True, True]
    assert [torch.equal(peer, first[j]) for peer, j in zip(given[1], (0, 2), strict=True)] == [not late, True]
    assert [torch.equal(peer, first[j]) for peer, j in zip(given[2], (0, 1), strict=True)] == [not late, not late]


@pytest.mark.parametrize("update", [SEQUENTIAL, SIMULTANEOUS])
def test_running_statistics_see_each_batch_once(folder: Path, update: str) -> None:
    of = training(spec(folder, 3, update, None))
    through(of)
    counted = [buffer for key, buffer in of.trained.named_buffers() if key.endswith("num_batches_tracked")]
    assert len(counted) == 5 and {int(each) for each in counted} == {8}


def test_each_member_has_its_own_seed(folder: Path) -> None:
    asked = spec(folder, 3, SEQUENTIAL, None)
    seeds = [member.seed for member in asked.training.members or ()]
    assert len({*seeds}) == 3
    of = training(asked)
    p1, _, p3 = (network.model.state_dict() for network in of.learners)
    assert p1.keys() == p3.keys() and not equal(p1, p3)
    # Adding a peer moves nobody.
    assert [member.seed for member in spec(folder, 2, SEQUENTIAL, None).training.members or ()] == seeds[:2]


def test_the_ensemble_of_peers_has_the_same_gradient(folder: Path) -> None:
    terms = {"cross_entropy": {"weight": 1.0}, "mutual": {"weight": 1.0, "ensemble": True}}
    of, plain = (training(spec(folder, 3, SEQUENTIAL, None, **change)) for change in ({"objective": terms}, {}))
    through(of)
    through(plain)
    assert all(apart(a.model, b.model) < 2e-5 for a, b in zip(of.learners, plain.learners, strict=True))
    assert not torch.equal(of.losses_SKL, plain.losses_SKL)  # the values differ by the entropies


def test_every_member_is_a_whole_node(folder: Path) -> None:
    asked = spec(folder, 3, SEQUENTIAL, 2.0, carries=2)
    learn(asked)
    carried = node.read("mutual")
    assert carried.status == "carried" and carried.source == "mutual/members/2"
    weights = []
    for k in (1, 2, 3):
        member = node.read(f"mutual/members/{k}")
        assert member.status == "trained" and member.provides == ("features", "weights", "predictions", "labels")
        assert member.architecture is not None and member.architecture["widths"] == [[4, 8], [6], [4, 8]][k - 1]
        assert member.hashes["weights"] == files.sha256(member.weights)
        weights.append(load_file(member.weights))
        rows = (CURVES / "mutual" / "members" / f"{k}.csv").read_text().splitlines()
        assert len(rows) == 3 and rows[0].endswith("loss,loss_cross_entropy,loss_mutual")
        assert files.read_json(METRICS / "mutual" / "members" / f"{k}.json")["test"]["accuracy"] > 0
    assert not equal(weights[0], weights[2])
    assert carried.weights == node.read("mutual/members/2").weights
