"""A file system of our own, in memory, that is full or read-only when we say so. It needs the right to mount one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = 64 << 20  # bytes: more than any run here needs


def mountable(folder: Path) -> bool:
    """Whether we may mount a file system of our own."""
    try:
        with mounted(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """Work in a file system of its own, in memory, which is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(f"size={ROOM}", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def limited(folder: Path, size: int) -> None:
    """Let the file system hold so many bytes and no more."""
    mount(f"remount,size={size}", folder)


def mount(options: str, folder: Path) -> None:
    """Mount, or mount again, with these options."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


def used(folder: Path) -> int:
    """Bytes that the file system holds."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize
