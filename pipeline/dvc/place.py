"""Where a repository may lie: DVC fails, in words that tell nothing, where its path has braces or is no UTF-8."""

import os
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.dvc import cache

BRACES = "{}"
REMEDY = "rename it, or move the repository"


def check() -> None:
    """Refuse a place in which DVC cannot work.

    Raises:
        UserError: The repository's path has a brace, or bytes that are no UTF-8.
    """
    top = cache.repository() or Path.cwd()
    shown = os.fsencode(top).decode(errors="backslashreplace")
    if shown != str(top):
        raise UserError(f"DVC cannot work in a folder whose path is no UTF-8 ({shown}): {REMEDY}")
    if any(brace in shown for brace in BRACES):
        raise UserError(f"DVC cannot work in a folder whose path has braces ({shown}): {REMEDY}")
