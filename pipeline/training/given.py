"""A file that params.yaml names together with its hash."""

from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import resolve


def given_file(name: str, sha256: str, key: str) -> Path:
    """The file that params.yaml names at `key`.

    Raises:
        UserError: There is none, or its SHA-256 is another one.
    """
    path = resolve(name)
    if not path.is_file():
        raise UserError(f"params.yaml: {key}.file is {name!r}, but there is no file {path}")
    if (found := files.sha256(path)) != sha256:
        raise UserError(f"params.yaml: {key}.sha256 is not that of {path}, which is {found}")
    return path
