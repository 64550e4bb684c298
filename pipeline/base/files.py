"""Files that are whole or absent.

Everything the pipeline writes goes through here: written under a temporary name, then renamed.
A file edited in place under hard-linked caches would corrupt the cache, and a half-written one
would be mistaken for a result.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError

Json = dict[str, Any]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`, a file or a folder to fill; rename it onto `path` at the end.

    On any error the temporary is removed and `path` is as it was. What a killed process left is removed, too;
    that of a running one is not: two that write the same result end with one of them whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = re.compile(rf"\.{re.escape(path.name)}\.([0-9]+)(\.old)?\.tmp")
    for left in [*path.parent.iterdir()]:
        if (found := ours.fullmatch(left.name)) and not _is_running(int(found[1])):
            _remove(left)
    temporary, aside = (path.with_name(f".{path.name}.{os.getpid()}{kind}.tmp") for kind in ("", ".old"))
    try:
        yield temporary
        while True:
            if temporary.is_dir():
                # A folder cannot be renamed onto another, and one half removed would be mistaken for a result.
                with suppress(FileNotFoundError):
                    os.replace(path, aside)
            try:
                os.replace(temporary, path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                _remove(aside)  # another process was faster: its result makes way for ours
        _remove(aside)
    except BaseException as error:
        if isinstance(error, OSError):
            # A failed write names no file, and nobody knows the temporary one.
            error.filename = str(error.filename or path).replace(str(temporary), str(path))
        with suppress(OSError):  # where removing fails, too, the first error is the one to tell
            _remove(temporary)
        with suppress(OSError):
            os.replace(aside, path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, then rename."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` as UTF-8 under a temporary name, then rename."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` with sorted keys and stable spacing, so that equal values give equal bytes."""
    write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or damaged one is named in a `UserError`."""
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object together with its digest."""
    write_json(path, sealed(value))


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object together with its digest."""
    return {**value, "seal": digest(value)}


def read_sealed(path: Path, schema: int | None = None) -> dict[str, Any]:
    """Read what `write_sealed` wrote; a file that is missing or in any way another is named in a `UserError`.

    schema: what the file's `schema` must be, where it has one: another version of this project wrote any other.
    """
    value = read_json(path)
    if schema is not None and isinstance(value, dict) and (found := value.get("schema")) != schema:
        raise UserError(
            f"{path} is of schema {found!r} and this version reads schema {schema}: run `dvc repro` to make it anew"
        )
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (it holds no object): delete it and run `dvc repro`")
    seal = value.pop("seal", None)
    verify(path, seal, "delete it and run `dvc repro`", found=digest(value))
    return value


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, recorded: object, remedy: str, *, found: str | None = None) -> None:
    """Refuse a file whose content is not the recorded one: what a command reads, and has a recorded hash, comes here.

    Args:
        path: The file, which the message names.
        recorded: Its SHA-256 as it stands elsewhere: in node.json, in a header, as a seal.
        remedy: What to do where it is another, as the end of a sentence.
        found: The SHA-256 of what was read, where that is known; without it the file is read once for it.
    """
    if (sha256(path) if found is None else found) != recorded:
        raise UserError(f"{path} is damaged (its SHA-256 is not the recorded one): {remedy}")


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form, in hexadecimal."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _is_running(pid: int) -> bool:
    """Whether another process has that number."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
