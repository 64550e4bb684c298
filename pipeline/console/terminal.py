"""The one console of rich: what it is given is text, never markup."""

from typing import Any

from rich.console import Console
from rich.measure import Measurement


def console() -> Console:
    """A console for standard output: `[/x]` and `:smile:` in a name stay what they are."""
    return Console(markup=False, emoji=False, highlight=False)


def uncut(shown: Any) -> None:
    """Print a table or a tree of rich as wide as it needs to be: a name or a number that is cut tells nothing."""
    wide = console()
    needed = Measurement.get(wide, wide.options.update(max_width=10_000), shown).maximum
    wide.width = max(wide.width, needed)
    wide.print(shown)
