"""Where a repository may lie: DVC fails, in words that tell nothing, where its path has braces."""

from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.dvc import cache

BRACES = "{}"


def check() -> None:
    """Refuse a place in which DVC cannot work.

    Raises:
        UserError: The repository's path has a brace.
    """
    top = cache.repository() or Path.cwd()
    if any(brace in str(top) for brace in BRACES):
        raise UserError(f"DVC cannot work in a folder whose path has braces ({top}): rename it, or move the repository")
