"""What every command and every carried slot would wait for is imported only by who needs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.paths import PLAN
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.planning.specs.slots import CarrySpec
from pipeline.planning.specs.spec import write_specs
from tests.scratch import PARAMS, ROOT

RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit as ended:
    assert not ended.code
late = {"torch", "torchvision", "scipy", "sklearn", "dvc", "ruamel", "onnx", "jinja2"}
print(*sorted(late.intersection(sys.modules)), file=sys.stderr)
"""


def imported(*arguments: str) -> list[str]:
    """Those of the late ones that a command imports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [("pipeline", "--help"), ("stages", "--help"), ("pipeline", "seeds", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) == []


def test_plan_imports_nothing_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (PARAMS, ROOT / "dvc.yaml"):
        Path(path.name).write_bytes(path.read_bytes())
    assert imported("stages", "plan") == []


def test_a_slot_that_carries_imports_nothing_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of DVC's repository; within one, the last result is looked for in DVC's cache."""
    monkeypatch.chdir(tmp_path)
    with node.writing("refinery/g1") as folder:
        node.write(folder, Node("refinery/g1", "trained", chain=(("refinery/g1", 0.5),)))
    write_specs({"refinery/g2": CarrySpec(node="refinery/g2", previous="refinery/g1", code={})}, PLAN)
    assert imported("stages", "refinery", "g2") == []
    assert node.read("refinery/g2").origin == "refinery/g1"
