"""Tables of docs that a command writes: each between its mark and the next end."""

from collections.abc import Mapping, Sequence

from pipeline.base.errors import UserError
from pipeline.lineage.results import markdown

END = "<!-- end -->\n"


def documented(text: str, tables: Mapping[str, Sequence[tuple[str, ...]]]) -> str:
    """A page with the cells of each table, header first, between `<!-- name -->` and `<!-- end -->`."""
    for name, cells in tables.items():
        mark = f"<!-- {name} -->\n"
        before, _, rest = text.partition(mark)
        _, end, after = rest.partition(END)
        if not end:
            raise UserError(f"the table {name} has no place: it lies between {mark.strip()} and {END.strip()}")
        text = f"{before}{mark}\n{markdown([*cells])}\n{END}{after}"
    return text
