"""Encoded images, kept beside the training state: DVC deletes what a stage writes before the stage runs again.

`<state>/encoded.images/<settings>/` holds a lock and shards, `<bits>-<number>-<ids>-<SHA-256>.tar`: the bucket, a hash
of the ids in it, and one of the file. A node cannot have that name, which has a dot. A shard is put into the store as a
reflink, a hard link or a copy; one that is damaged is thrown away; one of which some images are wanted gives these.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.locks import LOCK, held
from pipeline.data.shards import Bucket, NoShard, Shard, Stored, read_shard, write_shard

FOLDER = "encoded.images"
SETTINGS = re.compile(r"[0-9a-f]{64}")
KEPT = re.compile(r"(?P<bits>[0-9]{2})-(?P<number>[0-9]{6,})-(?P<ids>[0-9a-f]{32})-(?P<sha256>[0-9a-f]{64})\.tar")
UNFINISHED = re.compile(r"\.new\.[0-9]+\.tmp")
NEW = "new"


@dataclass(frozen=True)
class Kept:
    """A kept shard, as its name says; its content is not read yet."""

    path: Path
    bucket: Bucket
    ids: str
    sha256: str

    @classmethod
    def named(cls, path: Path) -> "Kept | None":
        """What lies at `path`; None where it is no shard of ours by its name."""
        found = KEPT.fullmatch(path.name)
        if not found:
            return None
        return cls(path, Bucket(int(found["bits"]), int(found["number"])), found["ids"], found["sha256"])


class KeptImages:
    """The shards of one setting of the store, in a folder that this process holds."""

    def __init__(self, folder: Path, log: Callable[[str], object]) -> None:
        self._folder = folder
        self._log = log
        self._kept = [kept for path in sorted(folder.iterdir()) if (kept := Kept.named(path))]

    def shard(self, bucket: Bucket, ids: list[str]) -> tuple[Path, Shard] | None:
        """The kept shard of exactly these ids, which are sorted; None where there is no whole one."""
        for kept in [each for each in self._kept if each.bucket == bucket and each.ids == _of_ids(ids)]:
            if found := self._read(kept):
                return kept.path, found
        return None

    def images(self, bucket: Bucket, ids: set[str]) -> dict[str, Stored]:
        """Those of these images, all of one bucket, that any shard holds."""
        found: dict[str, Stored] = {}
        for kept in [each for each in self._kept if each.bucket.overlaps(bucket)]:
            if len(found) == len(ids):
                break
            here: dict[str, Stored] = {}

            def take(image: Stored, here: dict[str, Stored] = here) -> None:
                if image.id in ids:
                    here[image.id] = image

            if self._read(kept, take):
                found |= here
        return found

    def add(self, bucket: Bucket, images: Iterable[Stored]) -> tuple[Path, Shard]:
        """Keep images, in ascending order of their ids, as a shard."""
        made = self._folder / f".{NEW}.{os.getpid()}.tmp"
        try:
            shard = write_shard(made, images)
            name = f"{bucket.bits:02d}-{bucket.number:06d}-{_of_ids(shard.ids)}-{shard.sha256}.tar"
            path = self._folder / name
            os.replace(made, path)
        except OSError as error:
            made.unlink(missing_ok=True)
            error.filename = str(self._folder)  # a failed write names no file
            raise
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        self._kept.append(Kept(path, bucket, _of_ids(shard.ids), shard.sha256))
        return path, shard

    def _read(self, kept: Kept, wanted: Callable[[Stored], None] | None = None) -> Shard | None:
        """A shard that is whole; another one is thrown away, to be made again."""
        try:
            shard = read_shard(kept.path, wanted)
            if shard.sha256 == kept.sha256:
                return shard
            why = "its SHA-256 is not that of its name"
        except (NoShard, OSError) as error:
            why = str(error)
        self._log(f"{kept.path} is damaged ({why}) and not used: its images are encoded again")
        with suppress(OSError):
            kept.path.unlink()
        self._kept.remove(kept)
        return None


@contextmanager
def kept_images(state: Path, settings: str, log: Callable[[str], object]) -> Iterator[KeptImages]:
    """Hold the kept images of the store's settings, whose SHA-256 is given, below the folder of all training state.

    Raises:
        UserError: The folder cannot be written.
    """
    folder = state / FOLDER / settings

    def waiting(holder: str) -> None:
        log(f"prepare: process {holder} encodes images for the same store: waiting for it")

    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder, waiting))
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error.strerror}): make it writable") from None
        for left in [*folder.iterdir()]:
            if UNFINISHED.fullmatch(left.name):  # of a process that was killed: we hold the lock
                left.unlink()
        yield KeptImages(folder, log)


def contents(folder: Path) -> list[Path] | None:
    """All files of a folder of kept images, the lock last; None where it is something else, or holds more than that."""
    if not SETTINGS.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return None
    found = sorted(folder.iterdir(), key=lambda path: (path.name == LOCK, path.name))
    known = all(
        (path.name == LOCK or KEPT.fullmatch(path.name) or UNFINISHED.fullmatch(path.name))
        and stat.S_ISREG(path.lstat().st_mode)
        for path in found
    )
    return found if known else None


def _of_ids(ids: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(ids).encode()).hexdigest()[:32]
