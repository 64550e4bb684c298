"""Experiments over seeds, and what is shown of experiments side by side: run by DVC, in a repository of their own."""

import contextlib
import json
import re
import sys

import pytest

from pipeline.base.errors import UserError
from pipeline.commands import compare, seeds
from pipeline.dvc import experiments
from pipeline.dvc.experiments import Experiment
from pipeline.evaluation.statistics import paired, summary
from tests.scratch import COMMIT, Scratch

# All but `direct` keep the seed that they were trained with: another one trains one network only.
PINNED = ("teacher", "assistant", "student", "baseline", "refinery", "born_again", "mutual", "compress")
# The card of what ships names its seeds, so that it is another one with each; what carries it points to other bytes.
OWN = "its own: direct, compress@c5..c6"
ASKED = ("seeds", "--count", "2", "--name", "pair", "-S", "direct.recipe.epochs=3")


@pytest.fixture(scope="module")
def seeded(lineage: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A repository in which one experiment was run over two seeds; what was said lies in `said`."""
    folder = tmp_path_factory.mktemp("seeded") / "repository"
    if not str(folder).isascii():
        pytest.skip("DVC's queue dies where its cache's path has letters beyond ASCII; `seeds` says so")
    scratch = lineage.copy(folder)
    scratch.edit({**{name: {"seed": 0} for name in PINNED}, "direct": {"seed": None, "recipe": {"epochs": 2}}})
    scratch.run(*COMMIT)
    for name, value in (("user.name", "t"), ("user.email", "t@example.org")):
        scratch.run("git", "config", name, value)
    said = scratch.run(sys.executable, "-m", "pipeline", *ASKED, "--out", "../pair.json")
    (scratch.folder.parent / "said").write_text(said)
    return scratch


@pytest.fixture(scope="module")
def found(seeded: Scratch) -> list[Experiment]:
    """What DVC knows of that repository: asked once, as it takes seconds."""
    with contextlib.chdir(seeded.folder):
        return experiments.read()


@pytest.fixture
def there(seeded: Scratch, found: list[Experiment], monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """That repository, and we in it."""
    monkeypatch.chdir(seeded.folder)
    monkeypatch.setattr(experiments, "read", lambda: found)
    return seeded


def pair() -> list[Experiment]:
    """The two seeds."""
    return sorted((each for each in experiments.read() if each.name.startswith("pair-")), key=lambda each: each.name)


def names(found: list[Experiment]) -> list[str]:
    return [each.name for each in found]


def accuracy(scratch: Scratch, node: str) -> float:
    return 100 * json.loads((scratch.folder / f"metrics/{node}.json").read_text())["test"]["accuracy"]


@pytest.mark.long
def test_seeds_are_experiments_and_the_table_is_of_their_figures(there: Scratch) -> None:
    assert [each.parameters["seeds.train"] for each in pair()] == [0, 1]
    kept = json.loads((there.folder.parent / "pair.json").read_text())
    test = {n: {each["name"]: each["accuracy"][n]["test"] for each in kept} for n in ("direct", "baseline")}
    values = [[100 * test[n][name] for name in names(pair())] for n in ("direct", "baseline")]
    assert values[1] == [accuracy(there, "baseline")] * 2
    difference = paired(*values)
    assert difference.interval is not None
    low, high = difference.interval
    reached = summary(values[0])
    cells = [
        "direct",
        "2",
        f"{reached.mean:.1f} ± {reached.deviation:.1f}",
        f"{difference.mean:+.1f} [{low:+.1f}, {high:+.1f}]",
    ]
    row = next(line for line in (there.folder.parent / "pair.md").read_text().splitlines() if "direct" in line)
    shown = [cell.strip() for cell in row.strip("|").split("|")]
    assert [shown[0], shown[1], shown[3], shown[4]] == cells
    assert cells[-1] in (there.folder.parent / "said").read_text()


@pytest.mark.long
def test_only_what_depends_on_the_seed_was_trained(there: Scratch) -> None:
    said = (there.folder.parent / "said").read_text()
    assert said.count("direct: learns from teacher") == 2
    assert "teacher: learns from" not in said and "student: learns from" not in said
    shown = compare.columns(["pair"])
    name = pair()[0].name.removesuffix("-0")
    assert re.fullmatch(r"pair-[0-9a-f]{6}", name)
    assert [column.name for column in shown] == [f"{name} (2 seeds)"]
    (sentence,) = compare.sharing(shown)
    stages = len(experiments.read()[0].lock.stages) - len(compare.UNCOUNTED)
    assert sentence == f"{name} (2 seeds) shares {stages - 3} of {stages} stages among its seeds; {OWN}"


@pytest.mark.long
def test_asking_again_runs_nothing(there: Scratch) -> None:
    said = there.run(sys.executable, "-m", "pipeline", *ASKED)
    assert "direct" in said and "Reproducing" not in said


@pytest.mark.long
def test_experiments_beside_the_workspace(there: Scratch) -> None:
    shown = compare.columns([experiments.WORKSPACE, "pair"])
    assert compare.parameters(shown)[1:] == [("direct.recipe.epochs", "2", "3"), ("seeds.train", "0", "0, 1")]
    changed, same = compare.changes(shown)
    assert {cells[0] for cells in changed} >= {"figure", "validation.direct", "test.direct"}
    assert "test.teacher" in same and "test.student" in same
    assert {"teacher", "student"} <= {*compare.alike(same)}
    assert compare.alike(["validation.a", "test.a", "test.b", "generations.c"]) == ["a", "test.b", "generations.c"]
    value, spread = next(cells[1:] for cells in changed if cells[0] == "test.direct")
    assert value == f"{accuracy(there, 'direct'):.1f}"
    assert " ± " in spread and spread.endswith(")")
    assert compare.sharing(shown)[0].endswith(OWN)


@pytest.mark.long
def test_two_seeds_by_name_are_two_columns(there: Scratch) -> None:
    shown = compare.columns(names(pair()))
    assert [column.name for column in shown] == names(pair())
    assert compare.parameters(shown)[1:] == [("seeds.train", "0", "1")]
    with pytest.raises(UserError, match="unknown experiment 'pear', valid: "):
        compare.columns(["pear"])


@pytest.mark.long
def test_plots_of_two_experiments_are_drawn_by_our_templates(there: Scratch) -> None:
    said = there.run("dvc", "plots", "diff", *names(pair()), "--json")
    plots = json.loads(said)["data"]
    assert set(plots) == {
        "generations",
        "refinery_validation_accuracy",
        "born_again_validation_accuracy",
        "student_validation_accuracy",
    }
    for name, (plot, *_) in plots.items():
        content = plot["content"]
        assert "<DVC_METRIC" not in json.dumps(content), name
        layers = content.get("layer", [content])
        assert content["encoding"]["color"]["field"] == "family"
        assert layers[0].get("encoding", {})["strokeDash"]["field"] == "rev"
        files = {row["filename"] for row in content["data"]["values"]}
        families = {file.removesuffix(".csv").split("/")[0] for file in files}
        assert families <= set(content["encoding"]["color"]["scale"]["domain"])
        assert {row["rev"] for row in content["data"]["values"]} == {*names(pair())}
    there.run("dvc", "plots", "diff", *names(pair()), "--out", "../plots")
    assert "vegaEmbed" in (there.folder.parent / "plots/index.html").read_text()


@pytest.mark.long
def test_seeds_have_names_that_are_made_of_what_is_run(there: Scratch) -> None:
    made_of = seeds.names(2, ["student.recipe.lr=0.1"], ["train", "data"], "seeds")
    first, second = made_of
    assert first.removesuffix("-0") == second.removesuffix("-1")
    assert made_of[second] == ["student.recipe.lr=0.1", "seeds.train=1", "seeds.data=1"]
    assert {*made_of}.isdisjoint(seeds.names(2, ["student.recipe.lr=0.2"], ["train", "data"], "seeds"))
    with pytest.raises(UserError, match="this seed is what changes"):
        seeds.names(2, ["seeds.train=4"], ["train"], "seeds")
    with pytest.raises(UserError, match="unknown seed 'test', valid: data, train, views"):
        seeds.names(2, [], ["test"], "seeds")


def made(name: str, seed: int, figure: float, temperature: float = 2.0) -> Experiment:
    """An experiment of two parameters and one figure."""
    return Experiment(
        name, name, None, {"seeds.train": seed, "temperature": temperature, "views": 3}, {"test.student": figure}
    )


def test_a_difference_over_seeds_is_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both rise from seed to seed by as much: their deviation is large, that of the difference is nil."""
    found = [made(f"a-{n}", n, 0.5 + n / 10) for n in (0, 1)] + [made(f"b-{n}", n, 0.52 + n / 10, 4.0) for n in (0, 1)]
    monkeypatch.setattr(experiments, "read", lambda: found)
    shown = compare.columns([])
    assert [column.name for column in shown] == ["a (2 seeds)", "b (2 seeds)"]
    assert compare.parameters(shown)[1:] == [("temperature", "2", "4")]
    changed, _ = compare.changes(shown)
    assert changed[1] == ("test.student", "55.0 ± 7.1", "57.0 ± 7.1 (+2.0 [+2.0, +2.0])")


def test_one_that_is_not_done_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Experiment("later", "r", "queued", {"seeds.train": 0})
    monkeypatch.setattr(experiments, "read", lambda: [made("a", 0, 0.5), waiting])
    assert [column.name for column in compare.columns([])] == ["a"]
    with pytest.raises(UserError, match="'later' is queued"):
        compare.columns(["a", "later"])


def test_one_run_beside_seeds_of_the_same_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [made("workspace", 0, 0.5), *(made(f"a-{n}", n, 0.5 + n / 10) for n in (0, 1))]
    monkeypatch.setattr(experiments, "read", lambda: found)
    assert [column.name for column in compare.columns(["workspace", "a"])] == ["workspace", "a (2 seeds)"]
    assert [column.name for column in compare.columns([])] == ["a (2 seeds)"], "the seed that both have counts once"


def test_a_commit_without_figures_is_no_column(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = Experiment("main", "r", None, {"seeds.train": 0})
    monkeypatch.setattr(experiments, "read", lambda: [made("a", 0, 0.5), committed])
    assert [column.name for column in compare.columns([])] == ["a"]
    assert [column.name for column in compare.columns(["a", "main"])] == ["a", "main"], "it was asked for"
    monkeypatch.setattr(experiments, "read", lambda: [committed])
    with pytest.raises(UserError, match=r"nothing has run yet .*: run `dvc repro`"):
        compare.columns([])


@pytest.mark.parametrize(
    ("some", "words"),
    [
        (["refinery@g1", "refinery@g2", "refinery@g3"], ["refinery@g1..g3"]),
        (["refinery@g1", "refinery@g3", "student"], ["student", "refinery@g1", "refinery@g3"]),
        ([], []),
    ],
)
def test_stages_in_few_words(some: list[str], words: list[str]) -> None:
    assert compare.ranges(some, ["student", "refinery@g1", "refinery@g2", "refinery@g3", "refined"]) == words
