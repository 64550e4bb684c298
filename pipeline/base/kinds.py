"""What lies at a path that somebody names: to open a named pipe waits for ever, and a device may never end."""

import stat
from pathlib import Path

from pipeline.base.errors import UserError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def unlike_file(path: Path) -> str | None:
    """What lies there in place of a file, `is a named pipe` for one; None for a regular file, or a link to one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "is a link that leads nowhere" if path.is_symlink() else "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if stat.S_ISREG(mode) else f"is {KINDS.get(stat.S_IFMT(mode), 'no file')}"


def check_file(path: Path | None) -> Path | None:
    """The path, if one is given.

    Raises:
        UserError: No regular file lies there.
    """
    if path is not None and (why := unlike_file(path)):
        raise UserError(f"{path} {why}: name a file")
    return path
