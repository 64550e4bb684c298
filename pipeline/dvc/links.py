"""Whether DVC puts large files into a workspace without copying them."""

import os
from pathlib import Path

from pipeline.base.links import reflink
from pipeline.dvc import cache

LARGE = 10**9  # bytes: below, a copy takes a second or two
LINKS = {"hardlink", "symlink"}
COMMAND = "dvc config cache.type hardlink,symlink"  # hardlink first: what is kept is then the cache's file, too


def advice(folder: Path) -> str | None:
    """A sentence where an out of DVC's is so large that each copy of it is felt, and DVC copies it; else None."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size < LARGE or cache.link_types() & LINKS or _shares(folder):
        return None
    return (
        f"{folder} has {size / 1e9:.1f} GB, which DVC copies into its cache and into each workspace, since this file "
        f"system has no reflinks: `{COMMAND}` makes them links"
    )


def _shares(folder: Path) -> bool:
    """Whether the cache and the workspace are on one file system that has reflinks; tried with a file of its own."""
    root = cache.folder()
    if root is None:
        return True  # no DVC copies anything
    try:
        root.mkdir(parents=True, exist_ok=True)
        if root.stat().st_dev != folder.stat().st_dev:
            return False
        tried = [root / f".reflink.{os.getpid()}.{number}.tmp" for number in (1, 2)]
        try:
            tried[0].write_bytes(b"1" * 4096)
            return reflink(*tried)
        finally:
            for path in tried:
                path.unlink(missing_ok=True)
    except OSError:
        return False
