"""What DVC keeps of earlier runs, read without DVC: for the same command and inputs it brings the outputs back."""

import hashlib
import json
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from yaml import YAMLError

from pipeline.config.yaml import load
from pipeline.dvc import cache

PROTECTED = 0o444  # the mode of a file that DVC has put into its cache


class RunCache:
    """A DVC cache: the files that it holds, and the runs that it knows of.

    Args:
        root: The cache; None where there is none.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def newest(self, key: str) -> dict[str, str] | None:
        """Of the newest run with that key, the hash of each output by its path; None where they are not all there."""
        if self.root is None:
            return None
        folder = self.root / "runs" / key[:2] / key
        runs = sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime)
        return self.whole(_hashes(_parsed(runs[-1].read_text(errors="replace")), "outs")) if runs else None

    def whole(self, outputs: Mapping[str, str | None]) -> dict[str, str] | None:
        """These outputs, where the cache has them all."""
        found = {path: md5 for path, md5 in outputs.items() if md5}
        held = len(found) == len(outputs) and all(self.holds(md5) for md5 in found.values())
        return found if found and held else None

    def holds(self, md5: str) -> bool:
        """Whether it has the file or the folder of this hash, whole.

        As to DVC, which makes its files read-only: of those that still are, the content is not looked at.
        """
        if self.root is None or not _is_whole(path := cache.path(self.root, md5), md5.removesuffix(".dir")):
            return False
        if not md5.endswith(".dir"):
            return True
        try:
            files = [each["md5"] for each in json.loads(path.read_bytes())]
        except (OSError, ValueError, TypeError, KeyError):
            return False
        return all(_is_whole(cache.path(self.root, each), each) for each in files)

    def any_fits(self, command: str, inputs: Mapping[str, str | None]) -> bool:
        """Whether a run of that command could be brought back, whose inputs had these hashes; None stands for any."""
        known = {path: md5 for path, md5 in inputs.items() if md5}
        rarest = max(known.values(), key=lambda md5: (not md5.endswith(".dir"), md5), default="")
        for text in self._texts:
            run = _parsed(text) if rarest in text else {}
            read = _hashes(run, "deps")
            fits = read.keys() == inputs.keys() and all(read[path] == md5 for path, md5 in known.items())
            if fits and str(run.get("cmd")) == command and self.whole(_hashes(run, "outs")):
                return True
        return False

    @cached_property
    def _texts(self) -> list[str]:
        found = [] if self.root is None else sorted((self.root / "runs").glob("*/*/*"))
        return [path.read_text(errors="replace") for path in found]


def _is_whole(path: Path, md5: str) -> bool:
    try:
        if stat.S_IMODE(path.stat().st_mode) == PROTECTED:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == md5
    except OSError:
        return False


def _parsed(text: str) -> dict[str, Any]:
    """A run as DVC wrote it; empty where it is damaged."""
    try:
        run = load(text)
    except YAMLError:
        return {}
    return run if isinstance(run, dict) else {}


def _hashes(run: Mapping[str, Any], what: str) -> dict[str, str]:
    """The hash of each input or output by its path."""
    return {each["path"]: each.get("md5", "") for each in run.get(what) or []}
