"""The repository's own graph, every slot and method of it: what `dvc repro` leaves, `repro --jobs` leaves."""

import sys
from pathlib import Path

import pytest
import yaml

from tests.faults.compare import difference, results
from tests.faults.graph import stages
from tests.scratch import PARAMS, create

TIMED = "metrics/summary.json"  # in which seconds stand


@pytest.mark.long
def test_both_drivers_run_all_of_it_and_leave_the_same(tmp_path: Path) -> None:
    one = create(tmp_path / "one")
    # What begins with the weights of another one counts its epochs, too.
    epochs = {name: 2 if "initial" in each else 1 for name, each in methods().items()}
    one.edit({"method": {name: {**each, "recipe": {"epochs": epochs[name]}} for name, each in methods().items()}})
    other = one.copy(tmp_path / "other")
    names = {stage.name.replace("/", "@") for stage in stages(one.folder)}
    assert {*one.repro()} == names
    other.run(sys.executable, "-m", "pipeline", "repro", "--jobs", "2")
    left, right = ({path: each for path, each in results(of.folder).items() if path != TIMED} for of in (one, other))
    assert left == right, difference(left, right)
    assert (one.folder / "report.html").exists() and (other.folder / "report.html").exists()
    assert one.repro() == other.repro() == ["plan"]


def methods() -> dict[str, dict]:
    """All methods that params.yaml comes with."""
    return yaml.safe_load(PARAMS.read_text())["method"]
