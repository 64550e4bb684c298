"""A folder of ours in this repository's default remote, reached as DVC reaches that: a folder, S3, ssh or another.

It lies beside what DVC keeps there, which is below `files/`. `dvc gc --cloud` also looks for what DVC 2 kept: at
whatever lies in a folder of two characters. Ours have longer names.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.base.errors import UserError
from pipeline.dvc import cache

FOLDER = "training-state"
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class RemoteFolder:
    """Files of the folder by their names, in which slashes part folders. Any call may raise what its library raises.

    Attributes:
        system: DVC's file system of the remote.
        path: Of the folder in it.
    """

    system: Any
    path: str

    def below(self, name: str) -> "RemoteFolder":
        """A folder in it, which need not be there."""
        return RemoteFolder(self.system, self._at(name))

    def names(self) -> list[str]:
        """All files, sorted; none where there is no such folder."""
        top = f"{self.path}/"
        try:
            found = [path.removeprefix(top) for path in self.system.find(self.path) if path.startswith(top)]
        except FileNotFoundError:  # object stores know no empty folder
            return []
        return sorted(found)

    def read(self, name: str) -> Iterator[bytes]:
        """The content of a file, a part at a time."""
        with self.system.open(self._at(name), "rb") as file:
            while part := file.read(CHUNK):
                yield part

    def write(self, name: str, file: BinaryIO, size: int) -> None:
        """Put what is left of an open file there; where that breaks off, a torn file may stay."""
        self.system.put_file(file, self._at(name), size=size)

    def remove(self, name: str) -> None:
        """Remove a file; another process may have."""
        try:
            self.system.rm_file(self._at(name))
        except FileNotFoundError:
            return

    def _at(self, name: str) -> str:
        return self.system.join(self.path, *name.split("/"))


def remote_folder() -> RemoteFolder:
    """The folder of training state in the default remote, of an experiment that of the repository it came from.

    Nothing is asked of the remote yet.

    Raises:
        UserError: There is no default remote, or DVC cannot use it, or is not here.
    """
    # Here, as only DVC knows what its config says, and whoever trains may have none.
    try:
        from dvc.config import Config
        from dvc.exceptions import DvcException
        from dvc.fs import get_cloud_fs
    except ModuleNotFoundError:
        raise UserError("training state is to be shared, but DVC is not installed here: install it") from None
    home = os.environ.get("DVC_ROOT")
    top = Path(home) if home else cache.repository()
    if top is None or not (top / ".dvc").is_dir():
        raise UserError(
            "training state is to be shared, but there is no .dvc folder here or above: run in the repository"
        )
    try:
        config = Config(dvc_dir=str(top / ".dvc"))
        name = config["core"].get("remote")
        if name is None:
            raise UserError(
                "training state is to be shared, but DVC has no default remote: add one by "
                "`dvc remote add --default NAME URL`, or set machine.share_state to false"
            )
        kind, settings, path = get_cloud_fs(config, name=name)
        if kind is None:
            raise UserError(f"DVC cannot use its default remote {name!r}: correct its URL")
        system = kind(**settings)
    except (DvcException, ImportError) as error:  # of the library that a kind of remote needs
        raise UserError(f"DVC cannot use its default remote ({' '.join(str(error).split())}): correct that") from None
    return RemoteFolder(system, system.join(str(path), FOLDER))
