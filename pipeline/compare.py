"""Experiments side by side: which parameters differ, and what came of it.

Bare `dvc exp show` prints every parameter and every dependency and cannot be told otherwise; here are the
dozen columns that matter.
"""

import json
import subprocess
import sys
from typing import Any

from pipeline.errors import UserError


def lines(names: list[str]) -> list[tuple[str, ...]]:
    """Cells of the comparison, a column an experiment: all that DVC knows of the current commit, or only `names`.

    First the parameters that differ, then the figures of `metrics/summary.json`.

    Raises:
        UserError: An experiment is unknown, or DVC cannot show any.
    """
    found = _experiments()
    if unknown := [name for name in names if name not in found]:
        raise UserError(f"there is no experiment {unknown[0]!r}: `dvc exp list` names {', '.join(found)}")
    shown = {name: found[name] for name in (names or found)}
    chosen = [flatten(each["params"]) for each in shown.values()]
    figures = [flatten(each["metrics"]) for each in shown.values()]
    keys = sorted({key for each in chosen for key in each})
    differing = [key for key in keys if len({json.dumps(each.get(key)) for each in chosen}) > 1]
    columns = sorted({key for each in figures for key in each})
    return [
        ("", *shown),
        *((key, *(_text(each.get(key)) for each in chosen)) for key in differing),
        *((key, *(_figure(key, each.get(key)) for each in figures)) for key in columns),
    ]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: item for name, each in value.items() for key, item in flatten(each, f"{prefix}.{name}".strip(".")).items()
    }


def _experiments() -> dict[str, dict[str, Any]]:
    """Params and summary metrics by experiment name, as DVC knows them."""
    run = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "show", "--json"], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise UserError(f"`dvc exp show` failed: {run.stderr.strip().splitlines()[-1] if run.stderr else 'no message'}")
    found: dict[str, dict[str, Any]] = {}
    for revision in json.loads(run.stdout):
        _add(found, revision.get("name") or revision["rev"], revision)
        for experiment in revision.get("experiments") or []:
            for each in experiment["revs"]:
                _add(found, experiment.get("name") or each["rev"][:7], each)
    return found


def _add(found: dict[str, dict[str, Any]], name: str, revision: dict[str, Any]) -> None:
    data = revision.get("data")
    if not data:
        return
    metrics = {}
    for file in (data.get("metrics") or {}).values():
        metrics |= file.get("data") or {}
    parameters = ((data.get("params") or {}).get("params.yaml") or {}).get("data") or {}
    found[name] = {"params": parameters, "metrics": metrics}


def _figure(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key.startswith(("validation.", "test.")):
        return f"{100 * value:.1f}"
    return _text(value)


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
