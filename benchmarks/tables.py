"""`python -m benchmarks.tables`: write the tables of docs anew from the JSON that is committed beside them.

A table stands between `<!-- table: study/<name>.json -->` and `<!-- end of table -->`; what `study` left there is a
list of arms, what `orders` left is a list of chains.
"""

import json
import re
from pathlib import Path
from typing import Any

from pipeline.base.files import write_text
from pipeline.commands import orders, study
from pipeline.lineage.results import markdown

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("study.md", "compression.md")
PLACE = re.compile(r"(<!-- table: (study/[a-z-]+\.json) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(text: str, folder: Path) -> str:
    """A page with each of its tables made anew from its file in `folder`."""
    return PLACE.sub(lambda place: f"{place[1]}{_table(folder / place[2])}\n{place[3]}", text)


def _table(path: Path) -> str:
    read: list[dict[str, Any]] = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in each.items()}
        for each in json.loads(path.read_text())
    ]
    if "order" in read[0]:
        return markdown(orders.table([orders.Chain(**each) for each in read])).strip()
    return markdown(study.table([study.Arm(**each) for each in read])).strip()


if __name__ == "__main__":
    for name in PAGES:
        write_text(DOCS / name, filled((DOCS / name).read_text(), DOCS))
