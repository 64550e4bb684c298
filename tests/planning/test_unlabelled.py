"""What `prepare` says where no network learns from images without a label."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.paths import PLAN
from pipeline.planning.specs.spec import write_specs
from pipeline.planning.unlabelled import are_learned
from stages import __main__ as stages
from tests.data.folders import folder, picture
from tests.training.runs import inside, planned

SENTENCE = "prepare: every objective is on hard labels alone, so that no network learns from images without a label"


def written(names: tuple[str, ...], root: Path, bare: int) -> dict[str, Any]:
    """The plan of these nodes alone, and images in `root`, so many of them without a label."""
    folder(root, {"a": 10, "b": 10})
    for number in range(bare):
        picture(root / "unlabelled" / f"{number}.png", seed=900 + number)
    specs = planned(root.parent, {"data": {"source": "imagefolder", "root": str(root), "per_class": None}})
    found = {name: specs[name] for name in ("prepare", "machine", *names)}
    write_specs(found, PLAN)
    return found


@pytest.mark.parametrize(
    ("names", "bare", "said"),
    [
        (("teacher", "baseline", "method/cwtm", "method/dkd"), 3, True),
        (("teacher", "baseline", "method/cwtm"), 0, False),
        (("teacher", "direct"), 3, False),
        (("teacher", "mutual"), 3, False),
        (("teacher", "method/hint"), 3, False),
        (("teacher", "compress/c1"), 3, False),
    ],
    ids=str,
)
def test_it_is_said_where_every_objective_is_on_hard_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...], bare: int, said: bool
) -> None:
    with inside(tmp_path):
        written(names, tmp_path / "images", bare)
        stages.prepare()
        lines = capsys.readouterr().out.splitlines()
        assert (SENTENCE in lines) == said
        assert any(line.endswith(", 3 of train without a label") for line in lines) == bool(bare)
        assert are_learned() == ({*names} & {"direct", "mutual", "method/hint", "compress/c1"} != set())
