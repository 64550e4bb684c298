"""Where things lie. Stages run in the workspace's top folder, so its paths are relative."""

import os
from pathlib import Path

from pipeline.base.errors import UserError

PLAN = Path("plan")
ARTIFACTS = Path("artifacts")
METRICS = Path("metrics")
CURVES = Path("curves")
DATA = ARTIFACTS / "data"
REPORT = Path("report.html")
CODE = Path(__file__).resolve().parents[2]


def resolve(path: str) -> Path:
    """A path of params.yaml: absolute, or relative to the repository.

    An experiment of `dvc exp run --temp` or `--queue` runs in a workspace elsewhere; DVC names the
    repository it came from in DVC_ROOT.
    """
    try:
        return (Path(os.environ.get("DVC_ROOT") or Path.cwd()) / Path(path).expanduser()).resolve()
    except (RuntimeError, ValueError) as error:  # `~nobody`, or a null byte
        raise UserError(f"params.yaml: the path {path!r} leads nowhere ({error}): correct it") from None
