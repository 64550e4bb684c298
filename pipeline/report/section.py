"""A part of the page: what its template is filled with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from pipeline.console.text import visible

Cell = str | Markup


def shown(value: Any) -> Any:
    """What goes into the page, before it is escaped for HTML, which keeps control characters and marks of direction."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@dataclass(frozen=True)
class Table:
    """Cells of a table, header first; the first `words` columns are text, the others numbers."""

    header: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    words: int = 1


@dataclass(frozen=True)
class Figure:
    """A chart, what one sees in it, and the same in numbers."""

    chart: Markup
    caption: str
    table: Table | None = None


@dataclass(frozen=True)
class PageSection:
    """One part: `templates/<key>.html` shows it with `values`; `lead` is its first sentence."""

    key: str
    title: str
    lead: str
    values: dict[str, Any] = field(default_factory=dict)
