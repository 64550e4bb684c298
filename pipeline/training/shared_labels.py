"""Labels done so far in a remote: a file a whole view, named by number, length and SHA-256 as `labels.parts` notes it.

The view that is being made is not there: that is what a kill costs on another host. Labels are used only in the
environment that made them, whose hash is the folder that they lie in.
"""

import hashlib
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.base import files
from pipeline.base.errors import innermost
from pipeline.dvc.remote import RemoteFolder
from pipeline.labels.kept_basis import SEAL
from pipeline.labels.layout import BASIS
from pipeline.labels.parts import WHOLE
from pipeline.labels.store import view_path
from pipeline.training.bringing import Bringing
from pipeline.training.folders import COMING, PARTS, Busy, taken
from pipeline.training.labelling import ENVIRONMENT
from pipeline.training.shared_snapshots import PLACE

LABELS = "labels"
FINISHED = "finished"
LINE = re.compile(r"(\d+) (\d+) [0-9a-f]{64}\n")  # of labels.parts
FILE = re.compile(rf"{LABELS}/{PLACE}/(environment|{FINISHED}|basis|view-(\d{{1,9}}))-(\d{{1,15}})-([0-9a-f]{{64}})")


class RemoteLabels(NamedTuple):
    """A file of labels, as its name tells.

    Attributes:
        folder: Of the labels, relative to that of all labels of the node.
        environment: Hash of what decides the last bits besides the network and the images.
        what: `environment`, `basis`, `finished`, or `view-` and its number.
        bytes, sha256: Of its content.
    """

    folder: str
    environment: str
    what: str
    bytes: int
    sha256: str

    @property
    def is_finished(self) -> bool:
        """Whether it says that all views are there."""
        return self.what == FINISHED

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{LABELS}/{self.folder}/{self.environment}/{self.what}-{self.bytes}-{self.sha256}"


def named(name: str) -> RemoteLabels | None:
    """The file of labels of this name; None of any other file."""
    if (found := FILE.fullmatch(name)) is None:
        return None
    folder, environment, what, _, size, sha256 = found.groups()
    return RemoteLabels(folder, environment, what, int(size), sha256)


def bring(
    remote: RemoteFolder, known: Iterable[RemoteLabels], top: Path, bringing: Bringing, log: Callable[[str], None]
) -> set[RemoteLabels]:
    """Bring the whole views that follow those here; return the files there that cannot be used.

    Args: as of `shared_snapshots.bring`; `top` is the folder of all labels of the node here.
    """
    found: dict[str, dict[str, dict[str, RemoteLabels]]] = defaultdict(lambda: defaultdict(dict))
    for each in known:
        found[each.folder][each.environment][each.what] = each
    unusable = set[RemoteLabels]()
    for folder, environments in found.items():
        here = top / folder / ENVIRONMENT
        if here.exists():
            there = environments.get(files.digest(files.read_json(here)), {})
        else:
            there = max(environments.values(), key=_views)
        try:
            if came := _Coming(remote, top / folder, bringing).bring(there):
                log(f"{came} views of labels come from the remote")
        except Busy:
            continue  # another process makes them, and is waited for
        except _Unusable as error:
            unusable.add(error.what)
            log(str(error))
    return unusable


class _Unusable(Exception):
    """A file in the remote is not what its name says, or cannot be read; the sentence tells of it."""

    def __init__(self, what: RemoteLabels, why: str = "is damaged") -> None:
        super().__init__(f"{what.name} in the remote {why}: it is not used")
        self.what = what


@dataclass(frozen=True)
class _Coming:
    """The labels of one folder on their way here."""

    remote: RemoteFolder
    folder: Path
    bringing: Bringing

    @property
    def parts(self) -> Path:
        """Where views lie."""
        return self.folder / PARTS

    def bring(self, there: dict[str, RemoteLabels]) -> int:
        """Bring what follows the views here, of one environment; return how many views came."""
        first, last = len(whole_lines(self.parts)), _views(there)
        if last <= first or "environment" not in there:
            return 0
        self.parts.mkdir(parents=True, exist_ok=True)
        for left in self.parts.glob(COMING.format("*")):
            left.unlink(missing_ok=True)  # of a process that was killed
        with self._whole(there["environment"]) as path:
            if files.digest(content := json.loads(path.read_bytes())) != there["environment"].environment:
                raise _Unusable(there["environment"])
            with self._changing():
                if not (self.folder / ENVIRONMENT).exists():
                    files.write_json(self.folder / ENVIRONMENT, content)
        if "basis" in there and not (self.parts / SEAL).exists():
            with self._whole(there["basis"]) as path, self._changing():
                os.replace(path, self.parts / BASIS)
                files.write_text(self.parts / SEAL, there["basis"].sha256)
        for v in range(first, last):
            view = there[f"view-{v}"]
            with self._whole(view) as path, self._changing():
                lines = whole_lines(self.parts)
                if len(lines) != v:
                    raise Busy  # another process has made some meanwhile
                os.replace(path, view_path(self.parts, v))
                (self.parts / WHOLE).write_text("".join([*lines, _line(v, view)]))
        return last - first

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self.bringing.changing(), taken(self.folder):
            yield

    @contextmanager
    def _whole(self, wanted: RemoteLabels) -> Iterator[Path]:
        """Yield a file that was brought and compared; it lies apart, and may be moved away.

        Raises:
            _Unusable: It is another one, or could not be read.
        """
        path, seal = self.parts / COMING.format(os.getpid()), hashlib.sha256()
        try:
            with path.open("wb") as file:
                for part in self._read(wanted):
                    file.write(part)
                    seal.update(part)
                    self.bringing.moved()
            if seal.hexdigest() != wanted.sha256:
                raise _Unusable(wanted)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _read(self, wanted: RemoteLabels) -> Iterator[bytes]:
        try:
            yield from self.remote.read(wanted.name)
        except Exception as error:  # whatever the library of a remote raises
            raise _Unusable(wanted, f"cannot be read ({innermost(error)})") from None


@dataclass
class LabelSender:
    """Puts each whole view to the remote, and what it needs to be used.

    Attributes:
        remote: The folder of the node's state there.
        known: What is there.
    """

    remote: RemoteFolder
    known: set[RemoteLabels]
    _seen: dict[Path, tuple[int, bool]] = field(default_factory=dict)

    def send(self, top: Path, folder: Path) -> bool:
        """Put what is new in a folder below `top` there; whether there was anything. Raises what the remote raises."""
        lines, put = whole_lines(folder / PARTS), False
        now = (len(lines), (folder / FINISHED).exists())
        if lines and self._seen.get(folder) != now:
            for what, path in self._there(folder.relative_to(top).as_posix(), folder, lines):
                if what in self.known:
                    continue
                try:
                    file = path.open("rb")
                except FileNotFoundError:
                    return put  # all of it is about to be made again, in another environment
                with file:
                    self.remote.write(what.name, file, what.bytes)
                self.known.add(what)
                put = True
            self._seen[folder] = now
        return put

    def _there(self, name: str, folder: Path, lines: list[str]) -> Iterator[tuple[RemoteLabels, Path]]:
        """All files that are to be there, each after those that it needs."""
        place = (name, files.digest(files.read_json(folder / ENVIRONMENT)))
        paths = {"environment": folder / ENVIRONMENT, "basis": folder / PARTS / BASIS}
        for what, path in paths.items():
            if path.exists():
                yield RemoteLabels(*place, what, path.stat().st_size, files.sha256(path)), path
        for v, line in enumerate(lines):
            size, sha256 = line.split()[1:]
            yield RemoteLabels(*place, f"view-{v}", int(size), sha256), view_path(folder / PARTS, v)
        if (path := folder / FINISHED).exists():
            yield RemoteLabels(*place, FINISHED, 0, files.sha256(path)), path


def whole_lines(parts: Path) -> list[str]:
    """The lines of the views that are there, as `labels.parts` writes them; their content is not compared."""
    path, found = parts / WHOLE, list[str]()
    for v, line in enumerate(path.read_text(errors="replace").splitlines(True) if path.exists() else []):
        view, words = view_path(parts, v), LINE.fullmatch(line)
        if not words or int(words[1]) != v or not view.is_file() or view.stat().st_size != int(words[2]):
            break
        found.append(line)
    return found


def _line(v: int, view: RemoteLabels) -> str:
    return f"{v} {view.bytes} {view.sha256}\n"


def _views(there: dict[str, RemoteLabels]) -> int:
    """How many views there are, one after the other."""
    return next(v for v in itertools.count() if f"view-{v}" not in there)
