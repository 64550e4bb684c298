"""Whatever trains needs no DVC: a machine that has little more than torch can train a node."""

import sys
from pathlib import Path

import pytest

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.data.prepare import prepare
from pipeline.dvc.training_state import VARIABLE, state_root
from pipeline.lineage import node
from pipeline.planning.specs.spec import write_specs
from tests import bare
from tests.training import runs

# With a record of an earlier run, the header asks for DVC's cache.
RECORD = """schema: '2.0'
stages:
  teacher:
    cmd: python -m stages teacher
    outs:
    - path: metrics/teacher.json
      md5: 00000000000000000000000000000000
"""


@pytest.mark.long
def test_a_stage_trains_where_dvc_is_not_installed(tmp_path: Path) -> None:
    with runs.inside(tmp_path):
        write_specs(runs.planned(tmp_path), PLAN)
        DATA.parent.mkdir(parents=True)
        prepare(params.read(tmp_path / "params.yaml").data, tmp_path, 0, DATA)
        Path(".dvc").mkdir()
        Path("dvc.lock").write_text(RECORD)
        bare.run(tmp_path, "stages", "teacher")
        assert node.read("teacher").status == "trained"


def test_only_the_place_of_training_state_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "dvc.config", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"no .dvc folder .* or set {VARIABLE}"):
        state_root()
    Path(".dvc").mkdir()
    with pytest.raises(UserError, match=f"DVC is not installed .* or set {VARIABLE}"):
        state_root()
