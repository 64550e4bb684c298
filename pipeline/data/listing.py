"""Which files a folder of one's own images holds: one folder a class, read in sorted order.

Either `root/train/<class>/*` and `root/test/<class>/*` (whatever else lies beside the two is not read), or
one tree `root/<class>/*` that `prepare` splits. Hidden files and files that are no images are ignored. A link that
leads out of the root is refused unless it is asked for: the folder may come from a stranger, and a link takes in
any image of this machine.
"""

import os
import stat
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.files import digest
from pipeline.data.formats import SUFFIXES

LAYOUT = "<root>/<class>/<image>, or <root>/train/<class>/<image> and <root>/test/<class>/<image>"

Tree = dict[str, list[Path]]  # class -> its image files, both sorted by name


def listing(root: Path, links: bool = False) -> dict[str, int | str]:
    """Count the image files under `root` and digest where they lie, their sizes in bytes and mtimes in ns.

    links: whether links may lead out of it. Raises `UserError` for a folder that is missing or no image folder.
    """
    found = [
        {name: [[path.name, *_stamp(path)] for path in paths] for name, paths in tree.items()}
        for tree in trees(root, links)
    ]
    return {"count": sum(len(files) for tree in found for files in tree.values()), "digest": digest(found)}


def trees(root: Path, links: bool = False) -> list[Tree]:
    """Return one tree to split, or two with the same classes: train, then test.

    links: whether links may lead out of `root`. Raises `UserError` for a folder that is missing, has too few
    classes, or classes that do not match.
    """
    within = None if links else root.resolve()
    folders = _names(root, within, folders=True)
    if not {"train", "test"} <= set(folders):
        return [_tree(root, within, folders)]
    train, test = (_names(root / part, within, folders=True) for part in ("train", "test"))
    if odd := sorted({*train} ^ {*test}):
        has, lacks = ("train", "test") if odd[0] in train else ("test", "train")
        raise UserError(
            f"data.root {root} has class {odd[0]!r} in {has}/ and not in {lacks}/: both need the same class folders"
        )
    return [_tree(root / "train", within, train), _tree(root / "test", within, test)]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path} under data.root cannot be read ({error.strerror}): fix or remove it") from None
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} under data.root is no regular file: take it out")
    return found.st_size, found.st_mtime_ns


def _tree(folder: Path, within: Path | None, classes: list[str]) -> Tree:
    if len(classes) < 2:
        raise UserError(
            f"image folder {folder} has too few class folders ({len(classes)}, and two are the least): "
            f"data.root holds {LAYOUT}"
        )
    tree = {}
    for name in classes:
        inside = folder / name
        tree[name] = [
            inside / file for file in _names(inside, within, folders=False) if file.lower().endswith(SUFFIXES)
        ]
        if not tree[name]:
            raise UserError(
                f"class folder {inside} holds no image ({' '.join(SUFFIXES)}): "
                f"add some or remove it; data.root holds {LAYOUT}"
            )
    return tree


def _names(folder: Path, within: Path | None, *, folders: bool) -> list[str]:
    """Sorted visible names in `folder`: its folders, or else its files; none may lead out of `within`."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"image folder {folder} cannot be read ({error.strerror}): "
            f"set data.root in params.yaml to a folder that holds {LAYOUT}"
        ) from None
    for entry in visible:
        if entry.is_symlink() and not Path(entry).exists():
            raise UserError(f"{entry.path} under data.root is a link that leads nowhere: fix or remove it")
        if entry.is_symlink() and within and not (target := Path(entry).resolve()).is_relative_to(within):
            raise UserError(
                f"{entry.path} under data.root is a link out of it, to {target}: take it out, or set data.links to "
                "true in params.yaml where all links there are to be followed"
            )
    return sorted(entry.name for entry in visible if entry.is_dir() == folders)
