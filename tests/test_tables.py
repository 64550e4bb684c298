"""The tables of README and docs are those of the JSON beside them."""

import re
from pathlib import Path

import pytest

from benchmarks.tables import DOCS, PAGES, PLACE, filled
from pipeline.base.errors import UserError

TABLES = {
    "README.md": 2,
    "study.md": 2,
    "compression.md": 2,
    "methods.md": 5,
    "labels.md": 2,
    "performance.md": 4,
    "reliability.md": 2,
    "unequal.md": 1,
    "zoo.md": 1,
    "networks.md": 1,
    "teacher.md": 1,
    "promises.md": 1,
    "store.md": 1,
    "dry.md": 1,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_table_is_that_of_its_figures(page: Path) -> None:
    text = page.read_text()
    assert len(PLACE.findall(text)) == TABLES[page.name]
    assert filled(text) == text, "python -m benchmarks.tables"
    wrong = PLACE.sub(lambda place: re.sub("[0-8]", "9", place[0]), text)
    assert filled(wrong) == text != wrong


def test_figures_without_a_table_are_named() -> None:
    with pytest.raises(UserError, match=r"streams\.json has no table: name its maker"):
        filled("<!-- table: study/streams.json -->\n<!-- end of table -->", DOCS)
