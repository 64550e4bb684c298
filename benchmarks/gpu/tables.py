"""What the check of speed found, as tables: a row a network and precision, and all that is no figure of one."""

import json
from pathlib import Path
from typing import Any

COLUMNS = {
    "images/s": "{:,.0f}",
    "launches a step": "{:,.0f}",
    "share of time idle": "{:.1%}",
    "plain ÷ replayed": "{:.2f}",
    "stored ÷ supervised": "{:.2f}",
    "ours ÷ augmenting": "{:.2f}",
}
Cells = list[tuple[str, ...]]


def cells(path: Path, which: str) -> Cells:
    """Header first; what misses its bound is bold. which: `networks` or `others`."""
    findings = json.loads(path.read_text())["findings"]
    return {"networks": _networks, "others": _others}[which](findings)


def _networks(findings: list[dict[str, Any]]) -> Cells:
    rows: dict[str, dict[str, str]] = {}
    for each in findings:
        network, _, figure = each["name"].partition(": ")
        if figure in COLUMNS:
            rows.setdefault(network, {})[figure] = _shown(each, COLUMNS[figure])
    found: Cells = [("network, precision", *COLUMNS)]
    return found + [(network, *(row.get(figure, "") for figure in COLUMNS)) for network, row in rows.items()]


def _others(findings: list[dict[str, Any]]) -> Cells:
    found: Cells = [("figure", "measured", "bound", "")]
    for each in findings:
        if each["name"].partition(": ")[2] not in COLUMNS:
            bound = "" if each["bound"] is None else f"{'≤' if each['most'] else '≥'} {each['bound']:g}"
            unit = each["unit"]
            found.append((each["name"], _shown(each, "{:.3g}") + unit, bound, each["sentence"]))
    return found


def _shown(finding: dict[str, Any], form: str) -> str:
    text = form.format(finding["value"])
    return f"**{text}**" if finding["ok"] is False else text
