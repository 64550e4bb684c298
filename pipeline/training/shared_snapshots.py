"""Snapshots of a training in a remote: each by how far it is, so that no clock tells which is the newest.

A file is what `training.state` writes, sealed by its SHA-256: one that is torn is told by that, wherever it lies. It is
used only in the environment that made it, whose hash is the folder that it lies in.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipeline.base import files
from pipeline.base.errors import innermost
from pipeline.dvc.remote import RemoteFolder
from pipeline.training.bringing import Bringing, TooLate
from pipeline.training.folders import Busy, taken
from pipeline.training.state import DIGEST, State, facts

# A folder of saved training, relative to that of its node.
PLACE = r"((?:[A-Za-z0-9_-]+/)*[0-9a-f]{64})/([0-9a-f]{64})"
NAMED = re.compile(PLACE + r"/(\d{1,9})-(\d{1,9})-of-(\d{1,9})-([0-9a-f]{64})")


class RemoteSnapshot(NamedTuple):
    """A snapshot, as its name tells.

    Attributes:
        folder: Of the training, relative to that of its node.
        environment: Hash of what decides the last bits besides the spec.
        epoch, step: Where it goes on, as of `Position`.
        epochs: Of the whole training.
        sha256: Of its content.
    """

    folder: str
    environment: str
    epoch: int
    step: int
    epochs: int
    sha256: str

    @property
    def at(self) -> tuple[int, int]:
        """How far it is."""
        return self.epoch, self.step

    @property
    def is_finished(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch == self.epochs

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.folder}/{self.environment}/{self.epoch}-{self.step}-of-{self.epochs}-{self.sha256}"


def named(name: str) -> RemoteSnapshot | None:
    """The snapshot that a file of this name is; None of any other file."""
    if (found := NAMED.fullmatch(name)) is None:
        return None
    folder, environment, epoch, step, epochs, sha256 = found.groups()
    return RemoteSnapshot(folder, environment, int(epoch), int(step), int(epochs), sha256)


def bring(
    remote: RemoteFolder, known: Iterable[RemoteSnapshot], top: Path, bringing: Bringing, log: Callable[[str], None]
) -> set[RemoteSnapshot]:
    """Of each training, bring the snapshot that is furthest, where it is whole and further than what is here.

    Where something is here, only of its environment: of another one it would be of no use.

    Args:
        remote: The folder of the node's state there.
        known: What is there.
        top: The folder of the node's state here.
        bringing: Is told of each part that comes.
        log: Prints one sentence.

    Returns:
        Those that cannot be used.
    """
    found: dict[str, list[RemoteSnapshot]] = defaultdict(list)
    for each in known:
        found[each.folder].append(each)
    unusable = set[RemoteSnapshot]()
    for folder, snapshots in found.items():
        here = _newest_whole(top, folder)
        for each in sorted(snapshots, key=lambda each: each.at, reverse=True):
            if here is not None and (each.at <= here.at or each.environment != here.environment):
                continue
            if (body := _body(remote, each, bringing, log)) is None:
                unusable.add(each)
                continue
            with bringing.changing(), suppress(Busy), taken(top / folder):
                now = _newest_whole(top, folder)
                if now is None or now.at < each.at:
                    State(top / folder).save(body)
                    log(f"the state in the remote is further and used: epoch {each.epoch + 1}, step {each.step + 1}")
            break
    return unusable


def _body(remote: RemoteFolder, wanted: RemoteSnapshot, bringing: Bringing, log: Callable[[str], None]) -> bytes | None:
    """The snapshot, as `State.load` gives it; None where it cannot be used, which a sentence says."""
    content = bytearray()
    try:
        for part in remote.read(wanted.name):
            content += part
            bringing.moved()
    except TooLate:
        raise
    except Exception as error:  # whatever the library of a remote raises
        log(f"{wanted.name} in the remote cannot be read ({innermost(error)}): it is not used")
        return None
    seal, body = bytes(content[:DIGEST]), bytes(memoryview(content)[DIGEST:])
    if hashlib.sha256(body).digest() != seal or _described(wanted.folder, seal, body) != wanted:
        log(f"{wanted.name} in the remote is damaged: it is not used")
        return None
    return body


def _newest_whole(top: Path, folder: str) -> RemoteSnapshot | None:
    """What training would go on from here, as the remote would name it."""
    body = State(top / folder).load(lambda sentence: None)
    return None if body is None else _described(folder, hashlib.sha256(body).digest(), body)


def _described(folder: str, seal: bytes, body: bytes) -> RemoteSnapshot | None:
    """A snapshot by the beginning of its body; None where that is of no training."""
    try:
        found: dict[str, Any] = facts(body)
        position, environment = found["position"], files.digest(found["environment"])
        numbers = (position["epoch"], position["step"], found["epochs"])
    except (ValueError, KeyError, TypeError):
        return None
    if any(type(number) is not int for number in numbers):
        return None
    return RemoteSnapshot(folder, environment, *numbers, seal.hex())


@dataclass
class SnapshotSender:
    """Puts the newest snapshot of each training to the remote, and removes those that two newer ones make needless.

    Attributes:
        remote: The folder of the node's state there.
        known: What is there, as far as known.
        unusable: What of that could not be used.
    """

    remote: RemoteFolder
    known: set[RemoteSnapshot]
    unusable: set[RemoteSnapshot] = field(default_factory=set)
    _sent: dict[str, RemoteSnapshot] = field(default_factory=dict)

    def send(self, top: Path, folder: Path) -> bool:
        """Put the newest snapshot of a folder below `top` there, if it is not; whether it did. Raises what the remote
        raises, but where it keeps what is needless: that is tried again with the next one, or by `gc --remote`."""
        name = folder.relative_to(top).as_posix()
        try:
            file = State(folder).current.open("rb")
        except FileNotFoundError:
            return False
        with file:  # of one snapshot, whatever is renamed meanwhile
            newest = _read(name, file)
            before = self._sent.get(name)
            if newest is None or newest == before:
                return False
            if put := newest not in self.known or newest in self.unusable:
                file.seek(0)
                self.remote.write(newest.name, file, os.fstat(file.fileno()).st_size)
        self.known.add(newest)
        self.unusable.discard(newest)
        self._sent[name] = newest
        if before is not None:
            for old in [each for each in self.known if _is_needless(each, before)]:
                with suppress(Exception):  # whatever the library of a remote raises
                    self.remote.remove(old.name)
                    self.known.remove(old)
        return put


def _read(folder: str, file: BinaryIO) -> RemoteSnapshot | None:
    """What an open snapshot is by its beginning."""
    seal, length = file.read(DIGEST), file.read(8)
    return _described(folder, seal, length + file.read(int.from_bytes(length, "little")))


def _is_needless(old: RemoteSnapshot, sent: RemoteSnapshot) -> bool:
    """Whether it is less far than one that was sent whole, before another that was, too.

    What is further may be torn: it counts for nothing.
    """
    return (old.folder, old.environment) == (sent.folder, sent.environment) and old.at < sent.at
