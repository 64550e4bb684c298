"""What goes between a workspace and the remote: what one stage reads, what it leaves, and DVC's record of its run.

By hash, and of this stage alone: a `dvc pull` or `push` looks at the whole repository each time.
"""

import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.data_cloud import DataCloud
from dvc.exceptions import CollectCacheError, DvcException
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph
from dvc.stage.cache import _can_hash, _get_stage_hash
from dvc.stage.loader import StageLoader
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import dumps_yaml

from pipeline.base import files
from pipeline.base.errors import UserError, innermost
from pipeline.dvc import internals, lock
from pipeline.dvc.address import Remote

ADD = "`dvc remote add --default NAME URL` adds one"
PLAN = "plan"


def remote() -> Remote:
    """The default remote of .dvc/config, which was reached.

    What other files of DVC's config say stays on this machine, secrets above all, and counts for it alone.

    Raises:
        UserError: There is none, or it cannot be reached.
    """
    with internals.worded(), Repo() as repo:
        home = os.environ.get("DVC_ROOT")  # an experiment's folder is not where the path of a remote begins
        config = Config(dvc_dir=str(Path(home, ".dvc"))) if home else repo.config
        common: Any = config.load_one("repo")
        name = str(common["core"].get("remote") or "")
        url = str(common["remote"].get(name, {}).get("url") or "")
        if not name:
            raise UserError(f".dvc/config has no default remote, by which machines exchange what stages leave: {ADD}")
        if not url:
            raise UserError(
                f".dvc/config has no url of the remote {name!r}, so that other machines cannot know it: {ADD}"
            )
        _check(repo)
        return Remote(name, url)


def bring_about(stage: str, ready: Callable[[], None] | None = None) -> bool:
    """Run a stage in this workspace with what the remote has, and put what it leaves there.

    Args:
        ready: Called when all that the stage reads is here.

    Returns:
        Whether it was due.

    Raises:
        UserError: dvc.lock or the remote does not have what it reads, it failed, or the remote does not take it.
    """
    with _opened() as repo:
        _fetch(repo, stage)
        _recall(repo, stage)
        if ready:
            ready()
        ran = internals.run_with_remote(repo, stage)
        _with_a_client(repo)  # what the stage took hours for goes by no connection and no key of then
        _send(repo, stage)
        return ran


def bring(folder: Path) -> None:
    """Bring all that stages left below a folder here, as far as the remote has it."""
    with _opened() as repo, lock_repo(repo):
        for stage in repo.index.stages:
            for out in stage.outs:
                if folder in Path(str(out)).parents and out.hash_info and _pulled(repo, out):
                    out.checkout(force=True)


def offer(stages: Iterable[str]) -> set[str]:
    """Put what these stages left to the remote; those of which neither it nor the cache here has all are returned."""
    with _opened() as repo:
        outs = [out for name in stages for found in repo.stage.collect(name) for out in found.outs]
        return {out.stage.addressing for out in _offered(repo, outs)}


def outdated() -> set[str]:
    """The stages of which the command or an input is not what dvc.lock records, or an output that lies here.

    An output that does not lie here is taken for what dvc.lock says: it is in the remote, or `offer` finds it lost.
    """
    with internals.worded(), Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        graph = get_active_graph(repo.index.graph)
        return {each.addressing for each in graph if _is_outdated(each, [*graph.successors(each)])}


def merge(name: str, entry: dict[str, Any], planned: bool) -> None:
    """Record the run of a stage that was elsewhere in dvc.lock, as DVC would; of older outputs here none stays.

    DVC's own way reads all stages, and writes them again: in a graph of hundreds, seconds for each.

    Args:
        planned: Whether dvc.yaml is known to be as it was when the stage was sent.

    Raises:
        UserError: dvc.yaml has no longer the stage that was run.
    """
    with internals.worded(), Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        lies_here = [each["path"] for each in entry["outs"] if os.path.lexists(each["path"])]
        if lies_here or not planned:
            (stage,) = repo.stage.collect(name)
            StageLoader.fill_from_lock(stage, entry)
            if to_single_stage_lockfile(stage) != entry:
                raise UserError(
                    f"{name} is another stage in dvc.yaml than the one that was run: give the command again"
                )
            for out in stage.outs:
                if out.exists and out.changed_checksum():
                    out.remove()
        path = Path("dvc.lock")
        text = path.read_text() if path.exists() else "schema: '2.0'\nstages:\n"
        files.write_text(path, lock.with_entry(text, dumps_yaml({"stages": {name: entry}}).partition("\n")[2]))


@contextmanager
def _opened() -> Iterator[Repo]:
    """Yield this repository, which looks at the remote as one client."""
    with internals.worded(), Repo(_wait_for_lock=True) as repo:
        _with_a_client(repo)
        yield repo


def _with_a_client(repo: Repo) -> None:
    """Let DVC have one new client of the remote, and not one for each look: of S3 it takes 0.1 CPU seconds to make."""
    repo.cloud = cloud = DataCloud(repo)
    ask = cache(cloud.get_remote)
    cloud.get_remote = lambda name=None, command="": ask(name)


def _fetch(repo: Repo, stage: str) -> None:
    """Bring what a stage reads to where it reads it: each output of others by the hash in dvc.lock, and the plan."""
    with lock_repo(repo):
        _check(repo)
        (found,) = repo.stage.collect(stage)
        made = {str(out): out for each in repo.index.stages for out in each.outs}
        paths = [PLAN, *(str(dep) for dep in found.deps)]
        needed = {path: made[path] for each in paths if (path := _above(each, made))}
        for path, out in needed.items():
            if out.stage.addressing == stage or (out.exists and not out.changed_checksum()):
                continue
            if not out.hash_info:
                raise UserError(
                    f"{stage} needs {path}, of which dvc.lock has no hash: run {out.stage.addressing} before it"
                )
            if not _pulled(repo, out):
                raise UserError(
                    f"{stage} needs {path}, which the remote does not have as dvc.lock has it: `dvc push` it"
                )
            out.checkout(force=True)


def _recall(repo: Repo, stage: str) -> None:
    """Bring DVC's record of an earlier run of a stage on the same inputs from the remote, where it has one."""
    # On a stage object of its own: with the hashes of now it would look unchanged, and be recorded without a run.
    (found,) = repo.stage.collect(stage)
    if not _can_hash(found):
        return
    found.save_deps()
    key = _get_stage_hash(found)
    here = Path(repo.stage_cache._get_cache_dir(key))
    aside = here.with_name(f".{key}.{os.getpid()}.tmp")
    odb = _runs_there(repo)
    with _reached(odb.path):
        there = odb.fs.join(odb.path, "runs", key[:2], key)
        for path in odb.fs.find(there) if odb.fs.exists(there) else ():
            name = odb.fs.name(path)
            here.mkdir(parents=True, exist_ok=True)
            odb.fs.get_file(path, str(aside))
            os.replace(aside, here / name)


def _send(repo: Repo, stage: str) -> None:
    """Put what a stage left, and DVC's record of its run, to the remote."""
    (found,) = repo.stage.collect(stage)
    if lost := _offered(repo, found.outs):
        raise UserError(f"{stage}: DVC's cache does not have all of {', '.join(map(str, lost))}: run it again")
    if not _can_hash(found):
        return
    key = _get_stage_hash(found)
    here = Path(repo.stage_cache._get_cache_dir(key))
    odb = _runs_there(repo)
    with _reached(odb.path):
        there = odb.fs.join(odb.path, "runs", key[:2], key)
        for path in sorted(here.iterdir()) if here.is_dir() else ():
            odb.fs.makedirs(there, exist_ok=True)
            odb.fs.put_file(str(path), odb.fs.join(there, path.name))


def _is_outdated(stage: Any, upstream: list[Any]) -> bool:
    # Of one that never ran DVC takes outputs that do not lie here for unchanged, too.
    return not all(out.hash_info for out in stage.outs) or stage.changed(allow_missing=True, upstream=upstream)


def _above(path: str, made: Collection[str]) -> str | None:
    """The output that a path is, or lies in."""
    return next((each for each in (path, *map(str, Path(path).parents)) if each in made), None)


def _check(repo: Repo) -> None:
    """Refuse a remote that is not there."""
    odb = _runs_there(repo)
    with _reached(odb.path):
        there = odb.fs.exists(odb.path)
    if not there and odb.fs.protocol == "local":
        raise UserError(
            f"the remote's folder {odb.path} is not on {platform.node()}: make it, where all machines see it"
        )


def _pulled(repo: Repo, out: Any) -> bool:
    """Whether the cache has all of an output, after what it lacks was brought from the remote."""
    with _reached(repo.cloud.get_remote(None, "fetch").path), suppress(CollectCacheError):
        for odb, objs in out.get_used_objs().items():
            repo.cloud.pull(objs, odb=odb)
    return not out.changed_cache()


def _offered(repo: Repo, outs: Iterable[Any]) -> list[Any]:
    """Put outputs to the remote; those are returned of which neither it nor the cache has all.

    The remote is asked for all of them at once.
    """
    lost: list[Any] = []
    found: list[tuple[Any, set[Any]]] = []
    with _reached(repo.cloud.get_remote(None, "push").path):
        for out in outs:
            try:
                objs = {each for used in out.get_used_objs().values() for each in used}
            except CollectCacheError:
                objs = set()
            if objs:
                found.append((out, objs))
            else:
                lost.append(out)
        # DVC's push looks for itself at what the cache has all of.
        whole, incomplete = [], []
        for out, objs in found:
            (incomplete if out.changed_cache() else whole).append((out, objs))
        state = repo.cloud.status({each for _, objs in incomplete for each in objs})
        lost += [out for out, objs in incomplete if objs & state.missing]
        # Nothing of what is not whole: where the remote has the list of a folder, DVC believes it to have all files.
        sent = {each for _, objs in incomplete if not objs & state.missing for each in objs & state.new}
        if repo.cloud.push(sent | {each for _, objs in whole for each in objs}).failed:
            raise UserError("the remote did not take all of what it was sent: see whether it is full, and try again")
    return lost


def _runs_there(repo: Repo) -> Any:
    """The remote, as DVC's cache of runs takes it."""
    return repo.cloud.get_remote_odb(None, "run cache", hash_name="md5-dos2unix")


@contextmanager
def _reached(where: str) -> Iterator[None]:
    """Each kind of remote has errors of its own: what one says is one sentence."""
    try:
        yield
    except (UserError, DvcException):
        raise
    except Exception as error:
        raise UserError(
            f"the remote {where} cannot be used from here ({innermost(error)}): see whether it can be reached"
        ) from None


def settle(folder: Path, remote: Remote, cache: Path, aside: Path) -> None:
    """Write into the DVC folder of a workspace where its remote, its cache and all that DVC notes are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    with Config(dvc_dir=str(folder), validate=False).edit("local", validate=False) as opened:
        config: Any = opened
        config["core"] |= {"no_scm": True, "analytics": False, "check_update": False, "remote": remote.name}
        config["core"]["site_cache_dir"] = str(aside)
        config["cache"] = {"dir": str(cache), "type": "reflink,hardlink,copy"}
        config["remote"][remote.name] = {"url": remote.url}
