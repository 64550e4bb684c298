"""The plan: each spec holds what its stage needs, and nothing that does not concern it."""

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.planning import build as plan
from pipeline.planning import compress, graph, methods, planner
from pipeline.planning.specs.readers import EnsembleSpec
from pipeline.planning.specs.sharing import SharingSpec
from pipeline.planning.specs.spec import Spec, write_specs
from pipeline.planning.specs.training import NetworkSpec, StopRule, TrainingSpec
from tests.scratch import PARAMS, ROOT, merged

DEFAULT = yaml.safe_load(PARAMS.read_text())
STAGES = graph.read(ROOT / "dvc.yaml")
# Short chains, so that what is said below of slots does not hang on the default's lengths.
BASE: dict[str, Any] = {
    "assistant": {"links": 1},
    "refinery": {"generations": 2, "patience": 1, "min_gain": 0.0},
    "born_again": {"generations": 2, "patience": None, "min_gain": 0.0},
}


METHODS = {f"method/{name}" for name in (*DEFAULT["method"], "unlimited")}


def build(changes: dict[str, Any] | None = None, stages: dict[str, Any] = STAGES) -> dict[str, Any]:
    whole = merged(merged(DEFAULT, BASE), changes or {})
    return plan.build(params.Params.model_validate(params._inherit(whole)), stages)


def changed(changes: dict[str, Any]) -> set[str]:
    """The nodes whose spec is another one after a change of params.yaml."""
    before, after = build(), build(changes)
    assert before.keys() == after.keys()
    return {name for name in before if before[name].as_json() != after[name].as_json()}


def without_sets(value: Any) -> str | None:
    """A test's id. A set is printed in another order by each process, and those of pytest-xdist compare ids."""
    return None if isinstance(value, set) else str(value)


def slots(family: str, first: int, last: int) -> set[str]:
    letter = "t" if family == "assistant" else "g"
    return {f"{family}/{letter}{number}" for number in range(first, last + 1)}


# Who learns from hard labels, too: all others have no use for the weights of classes.
HARD = {
    name
    for name, spec in build().items()
    if isinstance(spec, TrainingSpec) and {*spec.training.objective} & {"cross_entropy", "cwtm"}
}


def test_every_stage_has_a_spec_and_every_spec_a_stage() -> None:
    expected = set()
    for name, stage in STAGES.items():
        expected |= {f"{name}/{key}" for key in stage["foreach"]} if "foreach" in stage else {name}
    assert build().keys() == expected - {"plan"} | {"machine"}


def test_slots_in_the_asked_length_train_and_the_others_carry() -> None:
    specs = build()
    for family, length in (("assistant", 1), ("refinery", 2), ("born_again", 2)):
        previous = {"assistant": "teacher", "refinery": "baseline", "born_again": "teacher"}[family]
        for number, slot in enumerate(graph.slots(STAGES, family), start=1):
            spec = specs[f"{family}/{slot}"]
            assert spec.action == ("train" if number <= length else "carry")
            assert spec.previous == previous
            previous = f"{family}/{slot}"


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({"born_again": {"generations": 3}}, slots("born_again", 3, 3)),
        ({"refinery": {"generations": 4}}, slots("refinery", 3, 4)),
        ({"refinery": {"patience": 2}}, slots("refinery", 2, 2)),
        ({"refinery": {"min_gain": 0.01}}, slots("refinery", 2, 2)),
        ({"assistant": {"links": 2}}, slots("assistant", 2, 2)),
        ({"ensemble": {"rule": "logits"}}, {"ensemble"}),
        ({"machine": {"threads": 2}}, {"machine"}),
        ({"machine": {"state_every": 1}}, {"machine"}),
        ({"seeds": {"data": 1}}, {"prepare", "compress/c5"}),  # the card of what ships names its seeds
        ({"data": {"label_noise": 0.1}}, {"prepare"}),
        ({"teacher": {"recipe": {"lr": 0.05}}}, {"teacher"}),
        ({"born_again": {"objective": {"born_again": {"weight": 0.5}}}}, slots("born_again", 1, 2)),
        ({"baseline": {"recipe": {"lr": 0.05}}}, {"baseline", "method/unlimited"}),
        ({"training": {"class_weights": "balanced"}}, HARD),
        ({"born_again": {"recipe": {"sampling": "balanced"}}}, slots("born_again", 1, 2)),
        (
            {"student": {"seed": 7}},
            {"student", "baseline", "direct", "compress/c1"} | METHODS,
        ),
    ],
    ids=without_sets,
)
def test_a_change_reaches_the_specs_that_it_concerns(changes: dict[str, Any], concerned: set[str]) -> None:
    assert changed(changes) - {"report"} == concerned


def test_where_state_is_shared_plan_has_a_file_more_and_no_other_is_another_one() -> None:
    before, after = build(), build({"machine": {"share_state": True}})
    assert after.pop("sharing") == SharingSpec(share_state=True)
    assert {name: spec.as_json() for name, spec in before.items()} == {n: spec.as_json() for n, spec in after.items()}
    assert build({"machine": {"share_state": False}}).keys() == before.keys()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"refinery": {"patience": 2}}, True),
        ({"born_again": {"generations": 3}}, True),
        ({"seeds": {"train": 1}}, True),
        ({"views": {"flip": True}}, True),
        ({"teacher": {"recipe": {"lr": 0.05}}}, False),
        ({"machine": {"threads": 2}}, False),
    ],
    ids=str,
)
def test_the_report_is_concerned_by_what_it_tells_of_the_params(changes: dict[str, Any], told: bool) -> None:
    assert ("report" in changed(changes)) == told


def test_another_metric_concerns_what_tells_a_figure_and_trains_nothing_again_but_what_it_decides() -> None:
    """Of a training that validation decides nothing in, the saved result is used; images are not prepared again."""
    change = {"baseline": {"recipe": {"keep": "best"}}, "refinery": {"recipe": {"patience": 3}}}
    before = build(change)
    after = build(merged(change, {"select": "macro_f1"}))
    told = {name for name in before if before[name].as_json() != after[name].as_json()}
    networks = {name for name, spec in before.items() if isinstance(spec, NetworkSpec | EnsembleSpec)}
    assert told == networks | {"summary", "report"} and "prepare" not in told
    assert all(after[name].select == "macro_f1" and before[name].select is None for name in told)
    trained = {name for name, spec in before.items() if isinstance(spec, TrainingSpec)}
    again = {name for name in trained if before[name].training.as_json() != after[name].training.as_json()}
    assert again == {"baseline", "method/unlimited", *slots("refinery", 1, 2)}
    kept = build({"training": {"keep": "best"}, "select": "nll"})
    assert kept["method/fitnet"].training.select == "nll"
    assert kept["method/hint"].training.select is None, "it has no figure"


def test_the_default_metric_and_the_defaults_of_unequal_classes_stand_in_no_spec() -> None:
    specs = build({"select": "accuracy", "training": {"class_weights": None, "sampling": "uniform"}})
    whole = json.dumps([spec.as_json() for spec in specs.values()])
    assert not any(word in whole for word in ('"select"', "class_weights", "sampling"))


@pytest.mark.parametrize("mixing", [{"mixup": 0.2}, {"cutmix": 1.0}], ids=str)
def test_views_that_mix_images_are_refused_where_a_term_needs_one_class(mixing: dict[str, float]) -> None:
    without = {"views": {"preset": "strong", **mixing}, "method": {"cwtm": None, "dkd": None}}
    specs = build(without)
    assert mixing.items() <= specs["direct"].training.views.items() & specs["teacher"].forward.views.items()
    for name in ("cwtm", "dkd"):
        with pytest.raises(UserError, match=rf"method\.{name}\.objective\.{name} needs one class .* views mix images"):
            build(merged(without, {"method": {name: DEFAULT["method"][name]}}))
    tuned = {"compress": {"order": ["tune"], "steps": {"tune": {"objective": {"cwtm": {}}}}}}
    with pytest.raises(UserError, match=r"compress\.steps\.tune\.objective\.cwtm needs one class"):
        build(merged(without, tuned))


def trained_seeds(specs: dict[str, Spec]) -> dict[str, int]:
    return {name: spec.training.seed for name, spec in specs.items() if isinstance(spec, TrainingSpec)}


def test_paired_students_share_their_seed_and_generations_do_not() -> None:
    seeds = trained_seeds(build())
    assert seeds["baseline"] == seeds["direct"] == seeds["student"]
    assert {seeds[name] for name in METHODS} == {seeds["student"]}
    alone = [
        name for name in seeds if name.split("/")[0] in {"student", "teacher", "assistant", "refinery", "born_again"}
    ]
    assert len(alone) == 7
    assert len({seeds[name] for name in alone}) == len(alone)


def test_another_seed_moves_every_network_and_one_more_generation_none() -> None:
    def seeds(changes: dict[str, Any]) -> dict[str, int]:
        return trained_seeds(build(changes))

    before, other, longer = seeds({}), seeds({"seeds": {"train": 1}}), seeds({"born_again": {"generations": 4}})
    assert all(other[name] != before[name] for name in before)
    assert {name: longer[name] for name in before} == before


def test_a_seed_of_its_own_counts_whatever_it_is() -> None:
    own = build({"seeds": {"train": 1}, "student": {"seed": 0}})
    assert trained_seeds(own)["student"] == trained_seeds(build({"seeds": {"train": 0}}))["student"]
    assert trained_seeds(own)["student"] != trained_seeds(build({"seeds": {"train": 1}}))["student"]


def test_peers_start_from_different_weights() -> None:
    members = build()["mutual"].training.members
    assert len({each.seed for each in members}) == len(members) > 1


def test_the_code_of_a_network_is_that_of_all_that_trains_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a change of a loss, or of a family of networks, would leave results that are not its own."""
    for module in (planner, compress, plan):
        monkeypatch.setattr(module, "code", dict)
    peers = {"p1": {"family": "plain", "widths": [4]}, "p2": {"family": "residual", "width": 4}}
    specs = build({"mutual": {"architectures": peers}})
    trained = {name: spec for name, spec in specs.items() if isinstance(spec, TrainingSpec)}
    assert {"teacher", "student", "refinery/g1", "method/dkd", "mutual", "compress/c1"} <= trained.keys()
    for name, spec in trained.items():
        training = spec.training
        used = [each.architecture for each in (training, *(training.members or ()))]
        files_of_it = [f"pipeline/objectives/{term}.py" for term in training.objective]
        files_of_it += [f"pipeline/models/{each['family']}.py" for each in used if each]
        files_of_it.append(f"pipeline/training/optimizers/{training.recipe['optimizer']}.py")
        for kind in ("training", "stage"):
            assert {*files_of_it} <= {*spec.code[kind].values()}, (name, kind)
        assert "pipeline/training/loop.py" in spec.code["training"].values()
    assert "pipeline/data/sources/digits.py" in specs["prepare"].code["stage"].values()


def test_features_need_a_live_teacher_which_has_batches_of_one_size() -> None:
    stored = build()["student"].training
    assert (stored.teaching, stored.teacher_batch) == ("stored", None)
    live = build({"student": {"teaching": "live"}})["student"].training
    assert (live.teaching, live.teacher_batch) == ("live", DEFAULT["training"]["batch_size"])
    assert build({"labels": {"batch_size": 7}, "student": {"teaching": "live"}})["student"].training.teacher_batch == 7
    features = build({"student": {"objective": {"attention_transfer": {}}}})["student"].training
    assert features.teaching == "live", "no features are stored"


def test_every_generation_but_the_first_may_stop_the_chain() -> None:
    specs = build({"refinery": {"generations": 4, "patience": 2, "min_gain": 0.01}})
    rules = [specs[f"refinery/g{number}"].stop for number in range(1, 5)]
    assert rules == [None, *[StopRule(patience=2, min_gain=0.01)] * 3]


def test_every_slot_can_be_asked_for() -> None:
    for family in ("refinery", "born_again"):
        every = graph.slots(STAGES, family)
        specs = build({family: {"generations": len(every)}})
        assert {specs[f"{family}/{slot}"].action for slot in every} == {"train"}


def labelled(changes: dict[str, Any] | None = None) -> dict[str, int]:
    """The nodes that label views, and how many are asked of each."""
    specs = build(changes).items()
    views = {name: spec.labels.views for name, spec in specs if isinstance(spec, NetworkSpec | EnsembleSpec)}
    return {name: count for name, count in views.items() if count}


def test_a_node_labels_as_many_views_as_the_longest_of_its_students_has_epochs() -> None:
    students = {name: DEFAULT[name]["recipe"]["epochs"] for name in ("student", "refinery", "born_again")}
    refinery = dict.fromkeys(("baseline", *slots("refinery", 1, 2)), students["refinery"])
    born_again = dict.fromkeys(slots("born_again", 1, 2), students["born_again"])
    links = dict.fromkeys(("teacher", "assistant/t1"), students["student"])
    assert labelled() == refinery | born_again | links
    assert labelled({"direct": {"recipe": {"epochs": 200}}}) == labelled() | {"teacher": 200}
    assert labelled({"direct": {"recipe": {"epochs": 200}, "teaching": "live"}}) == labelled()


def test_a_number_in_the_params_stands_for_the_epochs_of_any_student() -> None:
    assert labelled({"labels": {"views": 7}}) == dict.fromkeys(labelled(), 7)
    settings = {build({"labels": {"views": views}})["direct"].labels.distinct for views in (7, None)}
    assert settings == {7, None}


def test_who_may_stand_for_another_node_passes_on_what_is_asked() -> None:
    """`refined` is any generation; a slot that carries, and one that may stop, the one before it."""
    tuned = {"compress": {"teacher": "refined", "steps": {"tune": {"recipe": {"epochs": 300}}}}}
    assert labelled(tuned) == labelled() | dict.fromkeys(("baseline", *slots("refinery", 1, 2)), 300)
    longer = {"refinery": {"generations": 3}}
    last = longer | {"compress": {"teacher": "refinery/g3", "steps": {"tune": {"recipe": {"epochs": 300}}}}}
    assert labelled(last) == labelled(longer) | dict.fromkeys(slots("refinery", 1, 3), 300)


def test_an_ensemble_that_teaches_labels_views_and_asks_nothing_of_its_members() -> None:
    chain = {"from": "ensemble", "architecture": {"family": "plain", "widths": [4, 8]}}
    found = labelled({"refinery": chain})
    assert found["ensemble"] == DEFAULT["refinery"]["recipe"]["epochs"]
    assert {name: found[name] for name in slots("born_again", 1, 2)} == {
        name: labelled()[name] for name in slots("born_again", 1, 2)
    }
    assert changed({"refinery": chain}) >= {"ensemble"}
    assert not changed({"refinery": chain}) & slots("born_again", 1, 2), "no member is trained again"


def test_a_longer_chain_asks_no_earlier_link_for_more_views() -> None:
    for family, key in (("assistant", "links"), ("refinery", "generations"), ("born_again", "generations")):
        shorter, longer = labelled({family: {key: 1}}), labelled({family: {key: 2}})
        assert {name: longer[name] for name in shorter} == shorter, family


def test_hard_labels_are_learned_on_the_crops_of_the_teachers_own_students() -> None:
    specs = build()
    hard = {name: spec.training.stream for name, spec in specs.items() if isinstance(spec, TrainingSpec)}
    taught = {name for name, stream in hard.items() if stream is None}
    assert hard["teacher"] == "train"
    assert {hard[name] for name in ("baseline", "mutual", "method/unlimited")} == {"labels"}
    assert {"student", "direct", "method/rkd", "method/hint", *slots("refinery", 1, 2)} <= taught
    assert taught == {name for name in hard if specs[name].teacher}


def test_the_epochs_of_a_hint_are_those_of_the_method_that_begins_with_it() -> None:
    specs = build()
    hint, fitnet = specs["method/hint"].training, specs["method/fitnet"].training
    assert hint.recipe["epochs"] + fitnet.recipe["epochs"] == specs["direct"].training.recipe["epochs"]
    assert fitnet.views_before == hint.recipe["epochs"], "and it goes on with views that the hint has not seen"
    with pytest.raises(
        UserError, match=r"method\.fitnet\.recipe\.epochs is 30, those of method/hint included, which has"
    ):
        build({"method": {"fitnet": {"recipe": {"epochs": 30}}}})


def test_the_arm_without_a_limit_is_the_baseline_but_for_that() -> None:
    specs = build()
    baseline, unlimited = specs["baseline"], specs["method/unlimited"]
    assert (unlimited.unlimited, unlimited.training) == ("baseline", baseline.training)
    with pytest.raises(UserError, match=r"method\.unlimited is the baseline with a new view at each epoch"):
        build({"method": {"unlimited": {}}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"born_again": {"generations": 10}}, r"born_again\.generations is 10, but dvc\.yaml has 8 slots \(to g8\)"),
        ({"edges": {"refinery": "refined"}}, r"edges\.refinery is 'refined', must be one of teacher, baseline"),
        ({"edges": {"born_again": "ensemble"}}, r"edges\.born_again is 'ensemble', must be one of"),
        ({"edges": {"refinery": "assistant/t2"}}, r"edges\.refinery is 'assistant/t2', must be one of .*assistant/t1$"),
        ({"edges": {"refinery": "ensemble"}}, r"ensemble, which has no architecture: give refinery\.architecture"),
        ({"baseline": {"objective": {"soft_targets": {}}}}, r"baseline\.objective needs a teacher"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(changes)


def test_too_many_generations_name_the_lines_to_add() -> None:
    with pytest.raises(UserError) as raised:
        build({"born_again": {"generations": 10}})
    stages = copy.deepcopy(STAGES)
    for line in re.findall(r"`(g\d+: [^`]+)`", str(raised.value)):
        stages["born_again"]["foreach"] |= yaml.safe_load(line)
    assert list(stages["born_again"]["foreach"])[-2:] == ["g9", "g10"]
    assert stages["born_again"]["foreach"]["g10"] == {"prev": "born_again/g9"}
    assert str(raised.value).endswith("then run `python -m pipeline wire`")
    assert build({"born_again": {"generations": 10}}, stages)["born_again/g10"].action == "train"


def test_specs_are_written_one_a_node(tmp_path: Path) -> None:
    specs = build()
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "gone.json").write_text("{}")
    write_specs(specs, tmp_path / "plan")
    found = {str(path.relative_to(tmp_path / "plan").with_suffix("")) for path in tmp_path.rglob("*.json")}
    assert found == specs.keys()
    assert files.read_sealed(tmp_path / "plan" / "refinery" / "g1.json") == specs["refinery/g1"].as_json()


def test_what_is_no_network_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of stage declares that it leaves a network; one that does not stays out of the table and of the page."""

    @dataclass(frozen=True, kw_only=True)
    class AuditSpec(Spec):
        node: str

    usual = methods.methods
    monkeypatch.setattr(methods, "methods", lambda planner: {**usual(planner), "audit": AuditSpec(node="audit")})
    specs = build()
    monkeypatch.undo()
    assert {name: spec for name, spec in specs.items() if name != "audit"} == build()
    assert specs["audit"] == AuditSpec(node="audit")
    assert "audit" not in {*specs["summary"].nodes, *specs["report"].nodes}


def test_every_node_of_the_lineage_is_a_network() -> None:
    specs = build()
    assert specs.keys() - plan.networks(specs) == {"prepare", "summary", "report", "machine"}


def test_the_cpus_instructions_stand_apart_and_only_where_params_name_them() -> None:
    before, after = build(), build({"machine": {"cpu": "avx2"}})
    assert after.keys() - before.keys() == {"cpu"}
    assert after["cpu"].as_json() == {"instructions": "avx2"}
    assert {name: spec.as_json() for name, spec in after.items() if name in before} == {
        name: spec.as_json() for name, spec in before.items()
    }
