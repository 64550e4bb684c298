"""Where the code of each stage begins: an edit concerns those who run it, and no others."""

from pipeline.base.paths import CODE
from pipeline.config.yaml import read_yaml
from pipeline.planning.fingerprint import closure
from pipeline.planning.units import BODIES
from tests.scratch import ROOT

TRAINED = {"teacher", "assistant", "student", "baseline", "direct", "refinery", "born_again", "method", "mutual"}


def test_every_stage_but_plan_has_code() -> None:
    assert {*BODIES} == {*read_yaml(ROOT / "dvc.yaml")["stages"]} - {"plan"}


def test_a_body_is_in_the_fingerprint_of_its_own_stages() -> None:
    reached = {stage: closure(CODE, [CODE / body]) for stage, body in BODIES.items()}
    users = {body: {stage for stage, files in reached.items() if CODE / body in files} for body in BODIES.values()}
    assert users == {
        "pipeline/data/prepare.py": {"prepare"},
        "pipeline/training/stage.py": TRAINED,
        "pipeline/lineage/refined.py": {"refined"},
        "pipeline/training/ensemble.py": {"ensemble"},
        "pipeline/compression/stage.py": {"compress"},
        "pipeline/lineage/results.py": {"summary", "report"},
        "pipeline/report/page.py": {"report"},
    }


def test_the_commands_are_in_no_fingerprint() -> None:
    bodies = [CODE / body for body in BODIES.values()]
    assert not [path for path in closure(CODE, bodies) if path.is_relative_to(CODE / "stages")]
