"""Hosts that share the training state of one node by a remote; snapshots of no network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from pipeline.dvc.remote import RemoteFolder
from pipeline.training import shared_snapshots
from pipeline.training.bringing import Bringing
from pipeline.training.shared_snapshots import RemoteSnapshot, SnapshotSender, named
from pipeline.training.state import State

KEY = "a" * 64
HERE, ELSEWHERE = {"threads": 1}, {"threads": 2}


def body(epoch: int, step: int = 0, environment: dict[str, Any] | None = None, epochs: int = 9) -> bytes:
    """A snapshot of so much of a training."""
    position = {"epoch": epoch, "step": step}
    known = {"environment": environment or HERE, "position": position, "epochs": epochs}
    return save({}, {"facts": json.dumps(known)})


class Host:
    """A folder of training state of one node, whose remote is as given."""

    def __init__(self, top: Path, remote: RemoteFolder) -> None:
        self.top = top
        self.folder = top / KEY
        self.remote = remote
        self.sender = SnapshotSender(remote, set())
        self.said: list[str] = []

    def save(self, *bodies: bytes) -> None:
        """Save snapshots, one after the other, and send each."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for each in bodies:
            State(self.folder).save(each)
            self.sender.send(self.top, self.folder)

    def bring(self, bringing: Bringing | None = None) -> set[RemoteSnapshot]:
        known = self.known()
        return shared_snapshots.bring(self.remote, known, self.top, bringing or Bringing(), self.said.append)

    def known(self) -> set[RemoteSnapshot]:
        return {each for each in map(named, self.remote.names()) if each}

    def loaded(self) -> bytes | None:
        return State(self.folder).load(pytest.fail)


Hosts = Callable[[str], Host]
