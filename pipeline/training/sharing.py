"""Saved training in DVC's default remote, too: where a stage is killed on one host, another one goes on.

Before a stage works, what the remote has of it and is further than what lies here is brought. While it works, one
thread puts there what the stage saves, always the newest, so that a slow remote gets less and nobody waits for it. The
training knows nothing of this: the thread looks at the folders that this process holds.

In the remote it lies in `training-state/<node>/<place>/`, where the place is what the stage is asked for and reads. It
stays when the stage has ended, as another host may be about to use it, until `python -m pipeline gc --remote`.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pipeline.base import files
from pipeline.base.errors import innermost
from pipeline.base.locks import LOCK
from pipeline.base.paths import ARTIFACTS, DATA, PLAN
from pipeline.console.progress import log
from pipeline.data.prepared import HEADER
from pipeline.dvc.remote import RemoteFolder, remote_folder
from pipeline.dvc.training_state import state_root
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import read_spec_if
from pipeline.training import shared_labels, shared_snapshots
from pipeline.training.bringing import Bringing, TooLate
from pipeline.training.folders import KEY, locked_folders
from pipeline.training.shared_labels import LABELS, LabelSender
from pipeline.training.shared_snapshots import SnapshotSender

APART = 1.0  # seconds between two looks at what was saved
SOON = 1.0  # seconds that a stage waits at its end without a word
AGAIN = 10.0  # seconds before the next one, where the remote has failed
PATIENCE = 60.0  # seconds: without a part that comes, before a stage begins; and for the last state, at its end
READS = ("teacher", "initial", "previous", "unlimited", "members")  # keys of specs that name nodes
PLACE = 16  # characters


@contextmanager
def sharing(node: str) -> Iterator[None]:
    """Share what the stage of a node saves meanwhile; of one that carries or is skipped, nothing.

    Raises:
        UserError: There is no default remote, or DVC cannot use it. What goes wrong there later is a sentence.
    """
    if read_spec_if(node, CarrySpec, SkipSpec):
        yield
        return
    with Sharing(node, remote_folder().below(f"{node}/{place(node)}"), state_root(), log):
        yield


def place(node: str) -> str:
    """A short hash of what the stage of a node is asked for, and of what it reads.

    Where a file of weights lies does not count. It need not tell all apart: below it all lies by the training's key.
    """
    spec = files.read_sealed(PLAN / f"{node}.json")
    named = [spec[key] for key in READS if spec.get(key)]
    nodes = [name for each in named for name in ([each] if isinstance(each, str) else each)]
    read = [DATA / HEADER, *(ARTIFACTS / name / "node.json" for name in nodes)]
    found = [files.sha256(path) if path.exists() else None for path in read]
    return files.digest([_without_paths(spec), found])[:PLACE]


class Sharing:
    """One stage's saved training, here and in a remote; as a context, while the stage works.

    Args:
        node: The stage's.
        remote: The folder of its state there.
        root: The folder of all training state here.
        log: Prints one sentence.
    """

    def __init__(self, node: str, remote: RemoteFolder, root: Path, log: Callable[[str], None]) -> None:
        self.node = node
        self.remote = remote
        self.top, self.labels_top = root / node, root / LABELS / node
        self._print = log
        self._bringing = Bringing()
        self._brought, self._begun, self._ending, self._ended = (threading.Event() for _ in range(4))
        self._snapshots, self._labels = SnapshotSender(remote, set()), LabelSender(remote, set())
        self._taken: dict[Path, tuple[int, str] | None] = {}
        self._failing = False

    def __enter__(self) -> Self:
        # A daemon: a remote that never answers must not keep the process.
        threading.Thread(target=self._run, name="sharing", daemon=True).start()
        while not self._brought.wait(0.1):
            if self._bringing.silence > PATIENCE:
                self._bringing.give_up()
                self._log(f"the remote has not answered for {PATIENCE:.0f} s: what lies here is used")
                break
        self._taken = {folder: _taken(folder) for _, folder in self._folders()}
        self._begun.set()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        if not self._brought.is_set():
            return
        if not self._ended.wait(SOON):
            self._log(f"waits up to {PATIENCE:.0f} s for the remote to take what was saved last")
            self._ended.wait(PATIENCE)
        if self._failing or not self._ended.is_set():
            self._log("the remote lacks what was saved last")

    def _run(self) -> None:
        try:
            self._bring()
        except TooLate:
            pass
        except Exception as error:  # whatever the library of a remote raises
            self._log(f"nothing comes from the remote ({innermost(error)}): what lies here is used")
        self._brought.set()
        self._begun.wait()
        while not self._ending.wait(AGAIN if self._failing else APART):
            self._send()
        self._send()
        self._ended.set()

    def _bring(self) -> None:
        names = self.remote.names()
        self._bringing.moved()
        known = {each for each in map(shared_snapshots.named, names) if each}
        unusable = shared_snapshots.bring(self.remote, known, self.top, self._bringing, self._log)
        self._snapshots = SnapshotSender(self.remote, known, unusable)
        views = {each for each in map(shared_labels.named, names) if each}
        unusable = shared_labels.bring(self.remote, views, self.labels_top, self._bringing, self._log)
        self._labels = LabelSender(self.remote, views - unusable)

    def _send(self) -> None:
        """Put there what is new in the folders that this process has held since the stage began.

        Only what it takes shows that a remote works again: there may be nothing to put there for a moment.
        """
        put = False
        try:
            for sender, folder in self._folders():
                taken = _taken(folder)
                if taken != self._taken.get(folder) and taken and taken[1] == str(os.getpid()):
                    top = self.top if sender is self._snapshots else self.labels_top
                    put |= sender.send(top, folder)
        except Exception as error:  # whatever the library of a remote raises
            if not self._failing:
                self._log(f"the remote does not take what is saved ({innermost(error)}): it goes on without")
            self._failing = True
            return
        if self._failing and put:
            self._log("the remote takes what is saved again")
            self._failing = False

    def _folders(self) -> Iterator[tuple[SnapshotSender | LabelSender, Path]]:
        """All folders of the node's saved training, and of its labels."""
        for sender, top in ((self._snapshots, self.top), (self._labels, self.labels_top)):
            for folder in locked_folders(top):
                if KEY.fullmatch(folder.name):
                    yield sender, folder

    def _log(self, sentence: str) -> None:
        self._print(f"{self.node}: {sentence}")


def _taken(folder: Path) -> tuple[int, str] | None:
    """When a folder was taken last, and by which process: to tell two times apart by, whatever the clock says.

    A file system may tell no two moments of one second apart.
    """
    try:
        return (folder / LOCK).stat().st_mtime_ns, (folder / LOCK).read_text()
    except FileNotFoundError:
        return None


def _without_paths(value: Any) -> Any:
    """A spec without the path of each file whose content it names."""
    if isinstance(value, dict):
        return {key: _without_paths(each) for key, each in value.items() if not (key == "file" and "sha256" in value)}
    return [_without_paths(each) for each in value] if isinstance(value, list) else value
