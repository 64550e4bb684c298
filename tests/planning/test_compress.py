"""The plan of the compress chain: which step a change concerns, and which orders make no sense."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.config import params
from pipeline.planning import build as plan
from pipeline.planning import compress as compress_plan
from pipeline.planning import fingerprint, graph, planner, units
from pipeline.planning.specs.training import NetworkSpec
from tests.compression.chains import STEPS
from tests.planning.test_build import DEFAULT, STAGES, without_sets
from tests.scratch import merged

FAR = {"architecture": {"family": "plain", "widths": [4, 8]}}


def build(order: list[str], change: dict[str, Any] | None = None) -> dict[str, Any]:
    section = merged({**DEFAULT["compress"], "order": order, "steps": STEPS}, change or {})
    return plan.build(params.Params.model_validate(params._inherit({**DEFAULT, "compress": section})), STAGES)


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before if before[name].as_json() != after[name].as_json()}


def slots(first: int, last: int) -> set[str]:
    return {f"compress/c{number}" for number in range(first, last + 1)}


def test_each_name_is_a_slot_and_the_rest_carries() -> None:
    specs = build(["small", "thin", "int8"])
    chain = [specs[f"compress/{slot}"] for slot in graph.slots(STAGES, "compress")]
    assert [spec.action for spec in chain] == ["compress"] * 3 + ["carry"] * 5
    assert [spec.previous for spec in chain] == ["teacher", *(f"compress/c{n}" for n in range(1, 8))]
    assert [spec.kind for spec in chain[:3]] == ["distil", "prune", "quantise"]
    assert all(spec.action == "carry" for name, spec in build([]).items() if name.startswith("compress/"))


@pytest.mark.parametrize(
    ("order", "change", "concerned"),
    [
        (["small", "thin", "tune", "int8"], {}, slots(3, 4)),  # a step put in: what follows
        (["small", "thin"], {}, slots(3, 3)),  # one taken out
        (["small", "thin", "int8"], {"steps": {"thin": {"flops": 0.5}}}, slots(2, 2)),
        (["small", "thin", "int8"], {"steps": {"zero": {"sparsity": 0.1}}}, set()),  # one that is not in the order
        (["small", "thin", "int8"], {"steps": {"int8": {"batches": 3}}}, slots(3, 3)),
        (["small", "thin", "int8"], {"seed": 5}, slots(1, 1)),
    ],
    ids=without_sets,
)
def test_a_change_reaches_the_steps_that_it_concerns(order: list[str], change: Any, concerned: set[str]) -> None:
    assert changed(build(["small", "thin", "int8"]), build(order, change)) == concerned


def test_a_step_that_comes_again_learns_in_another_order() -> None:
    specs = build(["thin", "tune", "thin", "tune"])
    assert specs["compress/c2"].training.seed != specs["compress/c4"].training.seed


def test_who_distils_learns_from_the_node_before_and_who_tunes_from_the_teacher_of_the_section() -> None:
    specs = build(["small", "tune", "small"], {"teacher": "direct", "from": "baseline"})
    assert [specs[f"compress/c{n}"].teacher for n in (1, 2, 3)] == ["baseline", "direct", "compress/c2"]


def test_every_step_has_the_code_that_rebuilds_what_the_one_before_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress_plan, "code", dict)
    monkeypatch.setattr(planner, "code", dict)
    specs = build(["small", "thin", "book", "tune4", "grids"])
    kinds = ("distil", "prune", "codebook", "tune", "quantise")
    rebuilding = {f"pipeline/models/{name}.py" for name in ("surgery", "fake_quantise", "codebook")}
    for number, kind in enumerate(kinds, start=1):
        used = specs[f"compress/c{number}"].code["stage"].values()
        assert {*rebuilding, f"pipeline/compression/steps/{kind}.py"} <= {*used}


def test_a_fresh_network_lies_on_no_grids() -> None:
    specs = build(["tune4", "small", "float16"])
    assert [specs[f"compress/c{n}"].kind for n in (1, 2, 3)] == ["tune", "distil", "quantise"]


def test_only_a_teacher_labels_views() -> None:
    def labelled(*order: str, **change: Any) -> set[str]:
        specs = build([*order], change)
        return {name for name, spec in specs.items() if isinstance(spec, NetworkSpec) and spec.labels.views}

    alone = labelled()
    assert labelled("small", "thin", "int8") == alone
    assert labelled("small", "small") == alone | {"compress/c1"}
    assert labelled("small", "tune", "small", "int8") == alone | {"compress/c2"}
    assert labelled("tune", teacher="direct") == alone | {"direct"}
    assert labelled("thin", teacher="direct") == alone
    assert labelled("small", **{"from": "method/dist"}) == alone | {"method/dist"}
    assert not build([])["ensemble"].labels.views
    assert build(["small"], {"from": "ensemble"})["ensemble"].labels.views
    assert build(["tune"], {"teacher": "ensemble"})["ensemble"].labels.views


@pytest.mark.parametrize(
    ("order", "change", "message"),
    [
        (["smal"], {}, r"compress: order: unknown step 'smal', did you mean 'small'\?"),
        (
            ["int8", "tune"],
            {},
            r"'tune' needs torch weights, but 'int8' before it leaves an ONNX file: put",
        ),
        (["export", "int8"], {}, r"'int8' needs torch weights, but 'export' before it"),
        (["export", "export"], {}, r"'export' needs torch weights, but 'export' before it"),
        (["tune4", "thin"], {}, r"'thin' changes weights that 'tune4' has put on grids: put it before 'tune4'"),
        (["tune4", "tune8"], {}, r"'tune8' changes weights that 'tune4' has put on grids"),
        (["tune4", "float16"], {}, r"steps\.float16\.form is float16, but 'tune4' trains for grids: use int8 or grids"),
        (["tune4", "after"], {}, r"steps\.after\.weight_bits: 'tune4' before it has its own bits: leave them out"),
        (["grids"], {}, r"steps\.grids: form is grids, but no tuning on grids comes before it: give weight_bits"),
        (["thin"] * 9, {}, r"compress\.order is 9, but dvc\.yaml has 8 slots \(to c8\)"),
        ([], {"from": "teachr"}, r"edges\.compress: unknown network 'teachr', did you mean 'teacher'\?"),
        ([], {"from": "method/hint"}, r"edges\.compress: unknown network 'method/hint'"),
        (["tune"], {"teacher": "refinery/g7"}, r"edges\.compress_teacher: unknown network 'refinery/g7'"),
        (["thin"], {"from": "ensemble"}, r"edges\.compress is ensemble, which has no weights to work on"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(order: list[str], change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, {**DEFAULT["compress"], "order": order, "steps": STEPS, **change})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"mine": {}}, r"compress\.steps\.mine: unknown kind 'mine', .*; with a name of its own a step needs `kind`"),
        ({"mine": {"kind": "prun"}}, r"compress\.steps\.mine: unknown kind 'prun', did you mean 'prune'\?"),
        ({"prune": {}}, r"compress\.steps\.prune: takes exactly one of sparsity, parameters, flops, not none"),
        ({"prune": {"flops": 0.5, "sparsity": 0.5}}, r"exactly one of .*, not sparsity and flops"),
        ({"prune": {"what": "weights", "flops": 0.5}}, r"what is weights, which change neither .*: give sparsity"),
        ({"prune": {"flop": 0.5}}, r"compress\.steps\.prune: unknown key 'flop', did you mean 'flops'\?"),
        ({"prune": {"flops": 1.5}}, r"compress\.steps\.prune\.flops"),
        ({"prune": 3}, r"compress\.steps\.prune: must be a mapping of keys to values, not 3"),
        ({"factorise": {"rank": 2, "energy": 0.5}}, r"exactly one of .*, not rank and energy"),
        ({"replace": {"layers": []}}, r"compress\.steps\.replace\.layers"),
        ({"codebook": {"bits": 9}}, r"compress\.steps\.codebook\.bits: must be less than or equal to 8, not 9"),
        (
            {"tune": {"activation_bits": 8}},
            r"tune\.activation_bits has no effect where weight_bits is null",
        ),
        ({"tune": {"teaching": "lve"}}, r"compress\.steps\.tune\.teaching"),
        ({"quantise": {"weight_bits": 4}}, r"quantise\.weight_bits is given, but form is int8: use form: grids"),
        (
            {"quantise": {"activation_bits": 4}},
            r"activation_bits has no effect where weight_bits is null",
        ),
        (
            {"distil": {"architecture": {"family": "plain", "widths": [4], "budget": 5}}},
            r"architecture\.budget: must be a",
        ),
    ],
    ids=str,
)
def test_a_step_that_makes_no_sense_is_one_sentence(step: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read(tmp_path, {**DEFAULT["compress"], "order": [], "steps": step})
    assert len(str(raised.value).splitlines()) == 1
    assert "[" not in str(raised.value).split(":")[1], "tags are no keys"


def read(folder: Path, compress: dict[str, Any]) -> dict[str, Any]:
    path = folder / "params.yaml"
    keys = {"from": "compress", "teacher": "compress_teacher"}
    edges = {keys[key]: name for key, name in compress.items() if key in keys}
    section = {key: value for key, value in compress.items() if key not in keys}
    whole = {**DEFAULT, "edges": {**DEFAULT["edges"], **edges}, "compress": section}
    files.write_json(path, whole)  # JSON is YAML
    return plan.build(params.read(path), STAGES)


@pytest.mark.long
def test_a_step_follows_the_meaning_of_its_own_code_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CODE / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(units, "CODE", tmp_path)

    def specs() -> dict[str, Any]:
        fingerprint._project.cache_clear()
        return build(["small", "thin", "tune", "int8", "export"])

    users = {
        "compression/steps/prune.py": {"c2"},
        "compression/filters.py": {"c2"},
        "compression/steps/tune.py": {"c3"},
        "compression/steps/quantise.py": {"c4"},
        "compression/steps/export.py": {"c5"},
        "models/surgery.py": {"c1", "c2", "c3", "c4", "c5"},
        "compression/factorise.py": set(),
    }
    now = specs()
    for name, slots in users.items():
        before = now
        with (tmp_path / "pipeline" / name).open("a") as file:
            file.write("\nUNUSED = 1\n")
        now = specs()
        assert changed(before, now) == {f"compress/{slot}" for slot in slots}, name
