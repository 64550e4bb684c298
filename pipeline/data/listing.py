"""Which files a folder of one's own images holds: one folder a class, read in sorted order.

Either one tree `root/<class>/…` that `prepare` splits, or a tree a split: `root/train/<class>/…` and beside it any of
`val` and `test`, in all their usual names. Images may lie at any depth below their class. A folder `unlabelled` beside
`train`, or beside the classes of what trains, holds training images without a label. What is not read is counted with
its reason. A link that leads out of the root is refused unless it is asked for: the folder may come from a stranger,
and a link takes in any image of this machine.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.data.formats import SUFFIXES
from pipeline.data.names import NO_LABEL, SPLITS, LeftOut, SplitName, is_unlabelled, nfc, split_of

LAYOUT = "<root>/<class>/<image>, or <root>/train/<class>/<image> and the same below val/ and test/"
HIDDEN, STRANGE, LOOSE, BESIDE = (
    "hidden",
    "no image by the end of its name",
    "in no folder of a class",
    "beside the folders of the splits",
)


@dataclass(frozen=True, eq=False)
class Found:
    """The image files of a folder, class after class of one split after the other, and last those without a label.

    Attributes:
        paths: Of each file, below the root and with `/`.
        labels: Positions in `classes`, as many; `NO_LABEL` where a file has none.
        classes: In NFC, sorted.
        splits: Of each file, where the folder is divided; else None.
        left_out: What is not read.
    """

    paths: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    splits: list[SplitName] | None
    left_out: LeftOut


def listing(root: Path, links: bool = False) -> dict[str, int | str]:
    """Count the image files under `root` and digest where they lie, their sizes in bytes and mtimes in ns.

    links: whether links may lead out of it. Raises `UserError` for a folder that is missing or no image folder.
    """
    return stamped(root, find(root, links).paths)


def stamped(root: Path, paths: Iterable[str]) -> dict[str, int | str]:
    """Count of files and one digest of all their names, sizes and times; `UserError` where one is no file."""
    count, seen = 0, hashlib.sha256()
    for name in paths:
        count += 1
        size, mtime = stamp(root / name)
        seen.update(f"{nfc(name)}\0{size}\0{mtime}\0".encode(errors="surrogateescape"))
    return {"count": count, "digest": seen.hexdigest()}


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and mtime in ns of a regular file; `UserError` for anything else."""
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path} under data.root cannot be read ({error.strerror}): fix or remove it") from None
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} under data.root is no regular file: take it out")
    return found.st_size, found.st_mtime_ns


def find(root: Path, links: bool = False) -> Found:
    """Every image under `root`, and what is left out.

    links: whether links may lead out of `root`. Raises `UserError` for a folder that is missing, has too few classes,
    a class without an image, or more than one folder for a split.
    """
    left_out = LeftOut()
    tree = _Tree(root, None if links else root.resolve(), left_out)
    folders, files = tree.inside("")
    folders, unlabelled = _apart(root, folders)
    splits = _splits(root, folders)
    trees: dict[SplitName | None, str] = {**splits} or {None: ""}
    for name in files:
        left_out.add(LOOSE if not splits else BESIDE, name)
    for name in folders if splits else ():
        if name not in splits.values():
            left_out.add(BESIDE, f"{name}/")
    classes: dict[SplitName | None, dict[str, list[str]]] = {}
    for split, top in trees.items():
        if top:
            folders, files = tree.inside(top)
            for name in files:
                left_out.add(LOOSE, name)
            folders, own = _apart(root, folders)
            if own and split != "train":
                raise UserError(
                    f"data.root {root} has {own[0]}/, and images without a label can only train: move it beside "
                    f"{splits['train']}/"
                )
            unlabelled += own
        classes[split] = _classes(tree, folders)
    _check_classes(root, classes, splits)
    names = sorted({name for found in classes.values() for name in found})
    place = {name: label for label, name in enumerate(names)}
    paths, labels, parts = [], [], []
    for split, found in classes.items():
        for name, members in found.items():
            paths += members
            labels += [place[name]] * len(members)
            parts += [split] * len(members)
    for name in unlabelled:
        members = _members(tree, [name], "folder of images without a label,")
        paths += members
        labels += [NO_LABEL] * len(members)
        parts += ["train"] * len(members)
    return Found(paths, labels, tuple(names), parts if splits else None, left_out)


def _apart(root: Path, folders: list[str]) -> tuple[list[str], list[str]]:
    """The folders, and apart from them that of images without a label, where there is one."""
    unlabelled = [name for name in folders if is_unlabelled(name.rpartition("/")[2])]
    if len(unlabelled) > 1:
        raise UserError(
            f"data.root {root} has {' and '.join(f'{name}/' for name in unlabelled)}, which both hold images without a "
            "label: keep one"
        )
    return [name for name in folders if name not in unlabelled], unlabelled


def _splits(root: Path, folders: list[str]) -> dict[SplitName, str]:
    """The folder of each split, in the order train, validation, test; empty where the folders are classes."""
    named: dict[SplitName, list[str]] = {}
    for name in folders:
        if split := split_of(name):
            named.setdefault(split, []).append(name)
    others = len(folders) - sum(map(len, named.values()))
    if "train" not in named and (others or not named):
        return {}
    if named.keys() == {"train"} and others:  # vehicles: planes, ships, and a class called train
        return {}
    if "train" not in named:
        raise UserError(
            f"data.root {root} has {' and '.join(f'{name}/' for name in folders)} and no train/: add it, with the same "
            "class folders"
        )
    for split, names in named.items():
        if len(names) > 1:
            raise UserError(
                f"data.root {root} has {' and '.join(f'{name}/' for name in names)}, which all mean {split}: keep one"
            )
    return {split: named[split][0] for split in SPLITS if split in named}


def _classes(tree: "_Tree", names: list[str]) -> dict[str, list[str]]:
    """The files of each class, sorted; folders whose names are one in NFC are one class."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(nfc(name.rpartition("/")[2]), []).append(name)
    return {name: _members(tree, found[name], "class folder") for name in sorted(found)}


def _members(tree: "_Tree", folders: list[str], what: str) -> list[str]:
    """The images of folders, each of which is called `what` and has some, sorted."""
    members: list[str] = []
    for name in folders:
        own = [*tree.images(name)]
        if not own:
            raise UserError(
                f"{what} {tree.root / name} holds no image ({' '.join(SUFFIXES)}): "
                f"add some or remove it; data.root holds {LAYOUT}"
            )
        members += own
    members.sort(key=nfc)
    for one, other in pairwise(members):
        if nfc(one) == nfc(other):
            raise UserError(f"{tree.root / one} has the name of another file in other characters: rename one")
    return members


def _check_classes(
    root: Path, classes: dict[SplitName | None, dict[str, list[str]]], splits: dict[SplitName, str]
) -> None:
    """Two classes at least, and the same in each split."""
    (first, found), *others = classes.items()
    if len(found) < 2:
        folder = root / splits[first] if first else root
        raise UserError(
            f"image folder {folder} has too few class folders ({len(found)}, and two are the least): "
            f"data.root holds {LAYOUT}"
        )
    for split, each in others:
        if first and split and (odd := sorted(each.keys() ^ found.keys())):
            has, lacks = (splits[first], splits[split]) if odd[0] in found else (splits[split], splits[first])
            raise UserError(
                f"data.root {root} has class {odd[0]!r} in {has}/ and not in {lacks}/: both need the same class folders"
            )


@dataclass(frozen=True)
class _Tree:
    """A folder and what lies below it; names are below `root`. within: what no link may lead out of, else None."""

    root: Path
    within: Path | None
    left_out: LeftOut

    def images(self, folder: str) -> Iterator[str]:
        """Every image at any depth."""
        folders, files = self.inside(folder)
        for name in files:
            if name.lower().endswith(SUFFIXES):
                yield name
            else:
                self.left_out.add(STRANGE, name)
        for name in folders:
            yield from self.images(name)

    def inside(self, folder: str) -> tuple[list[str], list[str]]:
        """Sorted visible folders and files that lie in one."""
        place = self.root / folder
        try:
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"image folder {place} cannot be read ({error.strerror}): "
                f"set data.root in params.yaml to a folder that holds {LAYOUT}"
            ) from None
        folders, files = [], []
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                self.left_out.add(HIDDEN, name)
                continue
            if entry.is_symlink():
                self._check_link(Path(entry))
            (folders if entry.is_dir() else files).append(name)
        return folders, files

    def _check_link(self, path: Path) -> None:
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise UserError(f"{path} under data.root is a link that leads nowhere: fix or remove it") from None
        if self.within and not target.is_relative_to(self.within):
            raise UserError(
                f"{path} under data.root is a link out of it, to {target}: take it out, or set data.links to "
                "true in params.yaml where all links there are to be followed"
            )
        if path.parent.resolve().is_relative_to(target):
            raise UserError(f"{path} under data.root is a link to a folder that it lies in: take it out")
