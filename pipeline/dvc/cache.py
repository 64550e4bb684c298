"""DVC's cache, found and read without DVC: what an earlier run left is there by its hash."""

import hashlib
import json
from pathlib import Path
from typing import Any


def folder() -> Path | None:
    """The cache of this repository, or of the one that an experiment's workspace came from.

    None outside of a repository, and where DVC is not installed: training does without.
    """
    top, settings = repository(), _settings()
    if top is None or settings is None:
        return None
    given = settings.get("dir")
    return Path(given) if given else top / ".dvc" / "cache"


def link_types() -> set[str]:
    """How this repository's DVC brings files from its cache into a workspace, in its words: `cache.type`."""
    found = (_settings() or {}).get("type") or ["reflink", "copy"]
    return {each.strip() for each in (found.split(",") if isinstance(found, str) else found)}


def _settings() -> dict[str, Any] | None:
    """The section `cache` of DVC's config; None outside of a repository, and where DVC is not installed."""
    top = repository()
    if top is None:
        return None
    # Only DVC knows what its config says: four levels of files, and an experiment's workspace
    # points to the cache of the repository that it came from.
    try:
        from dvc.config import Config
    except ModuleNotFoundError:
        return None
    return Config(dvc_dir=str(top / ".dvc"), validate=False).get("cache", {})


def repository() -> Path | None:
    """The folder of the DVC repository that we are in; None outside of one."""
    return next((top for top in (Path.cwd(), *Path.cwd().parents) if (top / ".dvc").is_dir()), None)


def read(root: Path, outs: dict[str, str], path: str) -> str | None:
    """The text of the file `path` as a run left it; None where the cache `root` does not hold it.

    Args:
        root: What `folder` gives.
        outs: Hash of each out of that run, by path; an out may be a folder above the file.
        path: Relative to the repository.
    """
    for above in (path, *(str(each) for each in Path(path).parents)):
        if above not in outs:
            continue
        md5: str | None = outs[above]
        if above != path:
            listed = _content(root, outs[above])
            files = {each["relpath"]: each["md5"] for each in json.loads(listed)} if listed else {}
            md5 = files.get(str(Path(path).relative_to(above)))
        return _content(root, md5) if md5 else None
    return None


def read_json(root: Path, outs: dict[str, str], path: str) -> Any:
    """As `read`, parsed; None also where it is no JSON."""
    text = read(root, outs, path)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def path(root: Path, md5: str) -> Path:
    """Where the cache `root` has the file of this hash, if it has it."""
    return root / "files" / "md5" / md5[:2] / md5[2:]


def _content(root: Path, md5: str) -> str | None:
    """The text of the file of that hash; None where the cache does not hold it, or holds another under its name."""
    try:
        content = path(root, md5).read_bytes()
        return content.decode() if hashlib.md5(content).hexdigest() == md5.removesuffix(".dir") else None
    except (OSError, UnicodeDecodeError):
        return None
