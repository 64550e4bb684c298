"""Image files that lie in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.kinds import unlike_file
from pipeline.data.decode import NotDecoded


@dataclass(frozen=True, eq=False)
class FolderFiles:
    """Files below `root`, by their names there, with `/`: see `pipeline.data.images.Files`."""

    root: Path
    names: Sequence[str]

    def read(self, row: int) -> bytes:
        """A whole file."""
        path = self.root / self.names[row]
        if why := path.exists() and unlike_file(path):
            raise NotDecoded(f"it {why}")
        return path.read_bytes()

    def stamp(self, row: int) -> tuple[int, int]:
        """Its size in bytes and mtime in ns."""
        found = (self.root / self.names[row]).stat()
        return found.st_size, found.st_mtime_ns
