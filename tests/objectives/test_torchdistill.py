"""Optional: our losses equal torchdistill's where it follows the papers, and it is recorded where it does not.

Written against torchdistill 1.1.5. It is not one of our requirements; without it these tests are skipped.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.attention_transfer import attention_transfer
from pipeline.objectives.cross_entropy import cross_entropy
from pipeline.objectives.dist import dist
from pipeline.objectives.fsp import Fsp
from pipeline.objectives.logit_standardisation import logit_standardisation
from pipeline.objectives.pkt import pkt
from pipeline.objectives.rkd import rkd
from pipeline.objectives.similarity_preserving import similarity_preserving
from pipeline.objectives.soft_targets import soft_targets
from tests.objectives.losses import signals

theirs: Any = pytest.importorskip(
    "torchdistill.losses.mid_level", reason="torchdistill, an optional oracle, is not installed"
)

BATCH = signals(6, 5)
Z_BC, T_BC, Y_B = BATCH["z_BC"], BATCH["t_BC"], BATCH["y_B"]
LOGITS = ("net", "output", "net", "output")
PAIR = {"pair": {side: {"io": "output", "path": "net"} for side in ("student", "teacher")}}


def features(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


S_MAP, T_MAP = features(6, 3, 4, 2, seed=1), features(6, 5, 4, 2, seed=2)
S_ROWS, T_ROWS = features(6, 3, seed=1), features(6, 5, seed=2)


def computed(criterion: Any, student: Tensor, teacher: Tensor, *targets: Tensor) -> Tensor:
    # It writes into its inputs in places.
    return criterion({"net": {"output": student.clone()}}, {"net": {"output": teacher.clone()}}, *targets)


def test_soft_targets_and_hard_labels():
    criterion = theirs.KDLoss(*LOGITS, temperature=4.0, alpha=0.1)
    ours = 0.1 * cross_entropy(Z_BC, Y_B) + 0.9 * soft_targets(Z_BC, T_BC, temperature=4.0)
    torch.testing.assert_close(computed(criterion, Z_BC, T_BC, Y_B), ours)


def test_its_soft_targets_alone_lack_the_squared_temperature():
    criterion = theirs.KDLoss(*LOGITS, temperature=4.0, alpha=0.0)
    ours = soft_targets(Z_BC, T_BC, temperature=4.0)
    torch.testing.assert_close(16 * computed(criterion, Z_BC, T_BC, Y_B), ours)


@pytest.mark.parametrize("settings", [{}, {"beta": 2.0, "gamma": 0.5, "tau": 4.0}])
def test_dist(settings: dict[str, float]):
    renamed = {"temperature" if key == "tau" else key: value for key, value in settings.items()}
    torch.testing.assert_close(computed(theirs.DISTLoss(*LOGITS, **settings), Z_BC, T_BC), dist(Z_BC, T_BC, **renamed))


def test_logit_standardisation_but_for_its_deviation_of_c_minus_1():
    criterion = theirs.LogitStdKDLoss(*LOGITS, temperature=2.0, alpha=0.1, beta=9.0)
    hotter = 2.0 * (5 / 4) ** 0.5
    soft = logit_standardisation(Z_BC, T_BC, temperature=hotter) * (2.0 / hotter) ** 2
    torch.testing.assert_close(computed(criterion, Z_BC, T_BC, Y_B), 0.1 * cross_entropy(Z_BC, Y_B) + 9 * soft)


@pytest.mark.parametrize("mode", ["paper", "code"])
def test_attention_transfer(mode: Any):
    criterion = theirs.ATLoss(PAIR, mode=mode)
    torch.testing.assert_close(
        computed(criterion, S_MAP, T_MAP), attention_transfer([S_MAP], [T_MAP], normalisation=mode)
    )


def test_relational_distillation():
    criterion = theirs.RKDLoss("net", "net", 1.0, 2.0, "mean")
    torch.testing.assert_close(computed(criterion, S_ROWS, T_ROWS), rkd([S_ROWS], [T_ROWS]), rtol=1e-4, atol=1e-5)


def test_probabilistic_knowledge_transfer_as_its_authors_code_has_it():
    ours = pkt([S_ROWS], [T_ROWS], normalisation="code")
    torch.testing.assert_close(computed(theirs.PKTLoss(*LOGITS), S_ROWS, T_ROWS), ours, rtol=1e-4, atol=1e-6)


def test_its_similarity_preserving_divides_rows_by_their_l1_norm():
    criterion = theirs.SPKDLoss("net", "net", "batchmean")
    value, ours = computed(criterion, S_MAP, T_MAP), similarity_preserving([S_MAP], [T_MAP])
    assert float(ours) > 2 * float(value)
    grams = [x.flatten(1) @ x.flatten(1).T for x in (S_MAP, T_MAP)]
    for p, expected in ((1.0, value), (2.0, ours)):
        s_BB, t_BB = (F.normalize(gram, p=p, dim=1) for gram in grams)
        torch.testing.assert_close((s_BB - t_BB).square().sum() / 36, expected)


def test_its_flow_matrix_is_ours_and_its_distance_is_not_squared():
    maps = {"student": [features(6, 2, 4, 4, seed=1), features(6, 3, 2, 2, seed=2)]}
    maps["teacher"] = [features(6, 2, 4, 4, seed=3), features(6, 3, 2, 2, seed=4)]
    pair = {f"{who}_{place}": {"io": "output", "path": place} for who in maps for place in ("first", "second")}
    given = [{"first": {"output": x[0]}, "second": {"output": x[1]}} for x in maps.values()]
    value = theirs.FSPLoss({"pair": pair})(*given)
    s_BCD, t_BCD = (theirs.FSPLoss.compute_fsp_matrix(*x) for x in maps.values())
    torch.testing.assert_close(value, (s_BCD - t_BCD).square().sum(dim=1).sqrt().sum() / 6)
    shapes = [x.shape[1:] for x in maps["student"]]
    ours = Fsp(shapes, shapes, reduction="sum")(maps["student"], maps["teacher"])
    torch.testing.assert_close(ours, (s_BCD - t_BCD).square().sum() / 6)
