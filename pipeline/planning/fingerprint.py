"""What a file of ours means, with all that it imports, as one hash: neither text nor place counts.

Comments, docstrings, formatting and `if TYPE_CHECKING` do not count. An import of ours counts by the content of what
it names: each reference to a name that it binds is hashed as (hash of the module, attribute), so that moving or
renaming a module, or importing it in another form, changes nothing. Modules that import each other in a circle are
hashed together.

The files are read, not imported. What cannot be followed is refused, but for a module that `importlib.import_module`
is given by a name that is not written out there: plan lists such modules beside those that load them.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pipeline.planning.meaning import Meaning, ModuleFiles, read_meaning


def fingerprint(root: Path, path: Path) -> str:
    """Hash of the meaning of the file `path`, below the project folder `root`.

    Raises:
        UserError: An import of ours cannot be followed.
    """
    return _project(root).hash(path)


def closure(root: Path, paths: Iterable[Path]) -> set[Path]:
    """All of our files that `paths` import, directly or not, and `paths` themselves."""
    found: set[Path] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_project(root).meaning(path).imports)
    return found


@cache
def _project(root: Path) -> "_Project":
    return _Project(root)


class _Project:
    """The hashes of a project's files, found when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.files = ModuleFiles(root)
        self._meanings: dict[Path, Meaning] = {}
        self._hashes: dict[Path, str] = {}

    def hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._settle(path, {}, [])
        return self._hashes[path]

    def meaning(self, path: Path) -> Meaning:
        if path not in self._meanings:
            self._meanings[path] = read_meaning(self.files, path)
        return self._meanings[path]

    def _settle(self, path: Path, lowest: dict[Path, int], stack: list[Path]) -> int:
        """Hash `path` and what it imports, circle by circle (Tarjan 1972: strongly connected components).

        Args:
            lowest: Of each file that was met, the place in the search of the first file that it leads back to.
            stack: Those that may still turn out to stand in a circle.
        """
        place = lowest[path] = len(lowest)
        start = len(stack)
        stack.append(path)
        for each in self.meaning(path).imports:
            if each in self._hashes:
                continue
            lowest[path] = min(lowest[path], lowest[each] if each in lowest else self._settle(each, lowest, stack))
        if lowest[path] == place:
            self._hashes |= self._of_circle(stack[start:])
            del stack[start:]
        return lowest[path]

    def _of_circle(self, circle: list[Path]) -> dict[Path, str]:
        """The hashes of files that need each other; most circles are one file that needs none of itself.

        Each round lets every file see one import further into the circle: after as many as there are files, two
        have the same hash only where they mean the same.
        """
        inside = dict.fromkeys(circle, "")
        known = self._hashes
        if len(circle) == 1 and circle[0] not in self.meaning(circle[0]).imports:
            return {circle[0]: self.meaning(circle[0]).hash(known)}
        for _ in circle:
            seen = known | inside
            inside = {path: self.meaning(path).hash(seen) for path in circle}
        whole = " ".join(sorted(inside.values()))
        return {path: hashlib.sha256(f"{whole} {own}".encode()).hexdigest() for path, own in inside.items()}
