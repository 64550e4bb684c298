"""Default weights: each method pulls about as hard as the labels do, and the docs say what was measured."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import gradients, weights
from benchmarks.__main__ import app
from benchmarks.gradients import SEEDS, SIZES, VARIANTS, Place, Strength, place
from pipeline.config.extension import OBJECTIVES
from pipeline.config.term import default_weight
from tests.scratch import ROOT

LEAST, MOST = 0.3, 10
# Small at the start and growing: peers agree as long as they know nothing, and have weight 1 by definition; of fsp a
# gradient that begins as large as others' ends at chance.
GROWING = {"mutual": 0.2, "fsp": 0.1}
COMMITTED = gradients.read(ROOT / "docs/study/gradients.json")
REACHED = json.loads((ROOT / "docs/study/weights.json").read_text())
# In the place of cross entropy or beside it with weight 1, by definition; fsp: see `GROWING`.
DEFINED = {"born_again", "label_refinery", "cwtm", "dkpp", "mutual", "fsp"}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place(tmp_path_factory.mktemp("gradients"))


@pytest.mark.long
def test_each_method_is_within_bounds_of_cross_entropy_at_small_and_large_batches(at: Place) -> None:
    names = gradients.names(at)
    assert names == [*COMMITTED.methods]
    for name in names:
        # Peers that know nothing yet differ most from seed to seed.
        seeds = SEEDS if name == "mutual" else SEEDS[:1]
        for term, strength in at.strengths(at.specs[name].training, (16, 128), seeds).items():
            assert strength.weight == COMMITTED.methods[name][term].weight, f"{name}: {REDO}"
            for size in (16, 128):
                assert GROWING.get(term, LEAST) < strength.median(size) < MOST, (name, term, size)


REDO = "python -m benchmarks gradients --out docs/study/gradients.json"


def test_each_objective_was_measured_at_its_default_weight_and_that_follows_the_rule() -> None:
    assert COMMITTED.defaults.keys() == {*OBJECTIVES.names(), *VARIANTS} - {"cross_entropy"}
    for name in OBJECTIVES.names():
        if name != "cross_entropy":
            strength = COMMITTED.defaults[name]
            assert strength.weight == default_weight(name), REDO
            assert strength.weight == (1 if name in DEFINED else gradients.rule(strength))
    for of in (COMMITTED.defaults, *COMMITTED.methods.values()):
        for name, each in of.items():
            least = GROWING.get(name, LEAST)
            assert all(least < each.median(size) < MOST for size in SIZES), name


def test_similarity_by_rows_does_not_fall_with_the_batch() -> None:
    falls, stays = (COMMITTED.defaults[f"similarity_preserving{by}"] for by in ("", " by rows"))
    assert falls.median(16) > 3 * falls.median(128)
    assert stays.median(16) < stays.median(128) < 2 * stays.median(16)


@pytest.mark.parametrize(
    ("times", "weight"), [((3.0, 3.0), 1.0), ((2.0, 2.1), 1.0), ((0.06, 0.015), 100.0), ((16.0, 16.0), 0.2)]
)
def test_a_weight_is_1_where_that_will_do_and_else_has_one_digit(times: tuple[float, float], weight: float) -> None:
    assert gradients.rule(Strength(1.0, {"16": [times[0]], "128": [times[1]]})) == weight
    assert gradients.rule(Strength(10.0, {"16": [10 * times[0]], "128": [10 * times[1]]})) == weight


@pytest.mark.long
def test_the_commands_run(tmp_path: Path) -> None:
    for name in ("gradients", "weights"):
        out = tmp_path / f"{name}.json"
        arguments = [name, "--tiny", "--out", str(out)]
        said = CliRunner().invoke(app, arguments, catch_exceptions=False).output
        assert "similarity_preserving" in said
        assert out.exists()
    assert gradients.tables(gradients.read(tmp_path / "gradients.json"))["methods"]
    assert weights.table(json.loads((tmp_path / "weights.json").read_text()))
