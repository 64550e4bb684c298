"""All that we use of DVC is there, spelled as we use it: a new DVC fails here, with what it lacks."""

import ast
import errno
import inspect
import json
import os
import re
import signal
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import dvc
import psutil
import pytest
from dvc.cli.parser import get_main_parser

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.dvc import cache, internals, looking, queue, remote, run_cache, tasks, travel, waiting
from tests.scratch import ROOT, Scratch, wait

# Module, name within it, parameters that we give.
USED = [
    ("dvc.config", "Config", ("dvc_dir", "validate")),
    ("dvc.config", "Config.get", ()),
    ("dvc.config", "Config.edit", ("level", "validate")),
    ("dvc.config", "Config.load_one", ("level",)),
    ("dvc.exceptions", "CollectCacheError", ()),
    ("dvc.exceptions", "DvcException", ()),
    ("dvc.fs", "get_cloud_fs", ("repo_config",)),
    ("dvc_objects.fs.base", "FileSystem.find", ("path",)),
    ("dvc_objects.fs.base", "FileSystem.join", ("parts",)),
    ("dvc_objects.fs.base", "FileSystem.open", ("path", "mode")),
    ("dvc_objects.fs.base", "FileSystem.put_file", ("from_file", "to_info", "size")),
    ("dvc_objects.fs.base", "FileSystem.rm_file", ("path",)),
    ("dvc.dependency.base", "Dependency", ()),
    ("dvc.dependency.base", "Dependency.status", ()),
    ("dvc.lock", "LockError", ()),
    ("dvc.data_cloud", "DataCloud.get_remote", ("name", "command")),
    ("dvc.data_cloud", "DataCloud.get_remote_odb", ("name", "command", "hash_name")),
    ("dvc.data_cloud", "DataCloud.pull", ("objs", "odb")),
    ("dvc.data_cloud", "DataCloud.push", ("objs",)),
    ("dvc.data_cloud", "DataCloud.status", ("objs",)),
    ("dvc.output", "Output.changed_cache", ()),
    ("dvc.output", "Output.changed_checksum", ()),
    ("dvc.output", "Output.checkout", ("force",)),
    ("dvc.output", "Output.exists", ()),
    ("dvc.output", "Output.get_hash", ()),
    ("dvc.output", "Output.get_used_objs", ()),
    ("dvc.output", "Output.remove", ()),
    ("dvc.ui", "ui.enable", ()),
    ("dvc.repo", "Repo", ("_wait_for_lock",)),
    ("dvc.repo", "Repo.__enter__", ()),
    ("dvc.repo", "Repo._btime", ()),
    ("dvc.repo", "Repo._ignore", ()),
    ("dvc.repo", "Repo.site_cache_dir", ()),
    ("dvc.repo", "Repo.tmp_dir", ()),
    ("dvc.repo", "Repo.index", ()),
    ("dvc.repo", "Repo.status", ()),
    ("dvc.repo", "Repo.scm_context", ()),
    ("dvc.repo", "lock_repo", ("repo",)),
    ("dvc.repo", "Repo.experiments", ()),
    ("dvc.repo.experiments", "Experiments.celery_queue", ()),
    ("dvc.repo.experiments", "Experiments.reproduce_celery", ("entries", "kwargs")),
    ("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.iter_active", ()),
    ("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.iter_queued", ()),
    ("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.kill", ("revs",)),
    ("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.proc", ()),
    ("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.remove", ()),
    ("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.stash", ()),
    ("dvc.repo.experiments.queue.base", "BaseStashQueue.collect_executor", ("exp", "executor", "exec_result")),
    ("dvc.repo.experiments.queue.base", "QueueEntry", ("stash_rev", "name")),
    ("dvc.repo.experiments.stash", "ExpStash.stash_revs", ()),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor", ()),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.PACKED_ARGS_FILE", ()),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor._update_config", ("update",)),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.cleanup", ()),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.from_stash_entry", ("repo", "entry", "wdir")),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.info", ()),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.init_cache", ("repo", "rev")),
    (
        "dvc.repo.experiments.executor.local",
        "TempDirExecutor.init_git",
        ("repo", "scm", "stash_rev", "entry", "infofile", "branch"),
    ),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.save", ("info", "targets", "force")),
    ("dvc.repo.experiments.executor.local", "TempDirExecutor.unpack_repro_args", ("path",)),
    ("dvc.scm", "Git", ()),
    ("dvc_task.proc.manager", "ProcessManager.get", ("key",)),
    ("dvc_task.proc.manager", "ProcessManager.__setitem__", ("key", "value")),
    ("dvc.repo.index", "Index.graph", ()),
    ("dvc.repo.reproduce", "get_active_graph", ("graph",)),
    ("dvc.repo.reproduce", "_reproduce", ("stages", "kwargs")),
    ("dvc.repo.reproduce", "reproduce", ("self", "targets", "single_item")),
    ("dvc.repo.scm_context", "SCMContext", ("quiet",)),
    ("dvc.repo.stage", "StageLoad.collect", ("target",)),
    ("dvc", "rwlock.psutil.pid_exists", ("pid",)),
    ("dvc.stage", "Stage.addressing", ()),
    ("dvc.stage", "Stage.changed", ("allow_missing", "upstream")),
    ("dvc.stage", "Stage.dump", ("kwargs",)),
    ("dvc.stage", "Stage.save_deps", ()),
    ("dvc.stage", "PipelineStage.changed_stage", ()),
    ("dvc.stage", "Stage.is_callback", ()),
    ("dvc.stage.cache", "_get_cache_hash", ("cache", "key")),
    ("dvc.stage.cache", "_can_hash", ("stage",)),
    ("dvc.stage.cache", "_get_stage_hash", ("stage",)),
    ("dvc.stage.cache", "StageCache._get_cache_dir", ("key",)),
    ("dvc.stage.loader", "StageLoader.fill_from_lock", ("stage", "lock_data")),
    ("dvc.stage.serialize", "to_single_stage_lockfile", ("stage",)),
    ("dvc.utils.serialize", "dumps_yaml", ("d",)),
    ("dvc_data.hashfile.hash_info", "HashInfo", ("name", "value")),
    ("dvc_data.hashfile.meta", "Meta", ("isexec",)),
]
COMMANDS = [
    "repro teacher",
    "exp show --json",
    "exp run --queue --name x -S a=1 -S b=2",
    "queue status",
    "queue logs x",
    "queue kill x",
    "queue start",
    "cache dir --local x",
]
OF_DVC = {"dvc", "dvc_data", "dvc_objects", "dvc_task", "scmrepo"}


def found(module: str, name: str) -> Any:
    """What DVC has by that name; a sentence fails the test where it has none."""
    value: Any = import_module(module)
    for part in name.split("."):
        assert hasattr(value, part), f"DVC {dvc.__version__} has no {module}.{name}: correct pipeline/dvc"
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(("module", "name", "parameters"), USED, ids=lambda each: str(each))
def test_dvc_has_what_we_use(module: str, name: str, parameters: tuple[str, ...]) -> None:
    value = found(module, name)
    if parameters:
        missing = {*parameters} - {*_accepted(value)}
        assert not missing, f"{module}.{name} of DVC {dvc.__version__} takes no {sorted(missing)}: correct pipeline/dvc"


def _accepted(value: Any) -> list[str]:
    accepted = [*inspect.signature(value).parameters]
    return accepted if not inspect.isclass(value) else [*accepted, *inspect.getsource(value).split()]


def test_the_table_names_all_that_is_imported() -> None:
    used = (cache, internals, looking, remote, tasks, travel, waiting)
    trees = [ast.parse(Path(str(module.__file__)).read_text()) for module in used]
    named = {(module, name.split(".")[0]) for module, name, _ in USED}
    imported = {
        (each.module or "", alias.name)
        for tree in trees
        for each in ast.walk(tree)
        if isinstance(each, ast.ImportFrom) and (each.module or "").split(".")[0] in OF_DVC
        for alias in each.names
    }
    assert imported
    assert imported <= named


@pytest.mark.parametrize("command", COMMANDS)
def test_dvc_has_the_commands_that_we_call(command: str) -> None:
    try:
        get_main_parser().parse_args(command.split())
    except Exception as error:
        pytest.fail(f"DVC {dvc.__version__} does not understand `dvc {command}`: {error}")


def test_a_repository_has_the_remote_and_the_cache_of_runs_by_these_names() -> None:
    """It makes them when it is opened."""
    source = inspect.getsource(found("dvc.repo", "Repo.__init__"))
    assert "self.cloud: DataCloud = DataCloud(self)" in source
    assert "self.stage_cache = StageCache(self)" in source


def test_workers_are_where_and_what_we_look_for() -> None:
    folder = found("dvc.repo.experiments.queue.celery", "LocalCeleryQueue.CELERY_DIR")
    above = found("dvc.repo.experiments.utils", "EXEC_TMP_DIR")
    assert f"tmp/{above}/{folder}" == queue.WORKERS.as_posix()
    spawn = inspect.getsource(found("dvc.repo.experiments.queue.celery", "LocalCeleryQueue._spawn_worker"))
    assert 'f"dvc-exp-worker-{num}"' in spawn
    assert '"queue-worker"' in spawn
    assert "pid" in found("dvc_task.proc.process", "ProcessInfo").__dataclass_fields__


def test_runs_and_modes_in_the_cache_are_where_and_what_we_look_for() -> None:
    source = inspect.getsource(found("dvc.stage.cache", "StageCache"))
    assert 'os.path.join(self.repo.cache.legacy.path, "runs")' in source
    assert "os.path.join(self.cache_dir, key[:2], key)" in source
    assert found("dvc_data.hashfile.db.local", "LocalHashFileDB.CACHE_MODE") == run_cache.PROTECTED


# Of a library of DVC's.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_lies_in_the_cache_where_we_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC itself caches a file and a folder, and we read both by what dvc.lock would record."""
    monkeypatch.chdir(tmp_path)
    repo = found("dvc.repo", "Repo").init(no_scm=True)
    Path("single").write_text("one")
    Path("folder").mkdir()
    Path("folder/inner").write_text("two")
    outs = {str(stage.outs[0]): stage.outs[0].hash_info.value for stage in repo.add(["single", "folder"])}
    root = cache.folder()
    assert root is not None
    assert root == tmp_path / ".dvc" / "cache"
    assert cache.read(root, outs, "single") == "one"
    assert cache.read(root, outs, "folder/inner") == "two"


def test_the_variable_of_an_experiments_home_is_dvcs() -> None:
    assert found("dvc.env", "DVC_ROOT") in Path(paths.__file__).read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_stages_are_read_and_run_and_what_dvc_refuses_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found("dvc.repo", "Repo").init(no_scm=True).close()
    Path("dvc.yaml").write_text(
        "stages:\n  teacher:\n    cmd: 'true'\n  student:\n    cmd: 'true'\n    deps: [x]\n"
        "  after:\n    cmd: touch y\n    deps: [z]\n    outs: [y]\n  first:\n    cmd: touch z\n    outs: [z]\n"
    )
    assert internals.needs([]) == {"teacher": set(), "student": set(), "after": {"first"}, "first": set()}
    assert internals.needs(["after"]) == {"after": {"first"}, "first": set()}
    assert [internals.run("first"), internals.run("first")] == [True, False]
    with pytest.raises(UserError, match="unknown stage 'techer', did you mean 'teacher'"):
        internals.needs(["techer"])
    with pytest.raises(UserError, match=r"failed to reproduce 'student'.*'x' does not exist"):
        internals.run("student")
    Path("dvc.yaml").write_text("stages: 3\n")
    with pytest.raises(UserError, match="DVC cannot read the stages"):
        internals.needs([])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_who_has_ended_is_not_in_the_way_before_somebody_has_asked_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose first process never asks."""
    monkeypatch.chdir(tmp_path)
    found("dvc.repo", "Repo").init(no_scm=True).close()
    Path("dvc.yaml").write_text("stages:\n  first:\n    cmd: touch z\n    outs: [z]\n")
    child = subprocess.Popen(["true"])
    wait("its end", lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(tmp_path / "z"): {"pid": child.pid, "cmd": "x"}}}))
    assert internals.run("first")
    child.wait()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_second_driver_is_told_who_works_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Scratch(tmp_path / "repository")
    scratch.folder.mkdir()
    monkeypatch.chdir(scratch.folder)
    found("dvc.repo", "Repo").init(no_scm=True).close()
    Path("dvc.yaml").write_text("stages:\n  slow:\n    cmd: touch begun; sleep 60\n    outs: [x]\n")
    first = scratch.start("dvc", "repro")
    try:
        wait("the first to begin", Path("begun").exists)
        with pytest.raises(UserError) as refused:
            internals.run("slow")
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    assert re.fullmatch(
        r"DVC already works in this repository \(process \d+, `.*dvc repro`\): "
        r"give the command again when it has ended",
        str(refused.value),
    )
    assert str(first.pid) in str(refused.value)


def test_a_full_disk_is_no_error_of_dvcs(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "dvc.lock")

    def fails(*arguments: Any, **keywords: Any) -> None:
        raise internals.DvcException("failed to reproduce 'x'") from full

    monkeypatch.setattr(internals, "Repo", MagicMock())
    monkeypatch.setattr(internals, "reproduce", fails)
    with pytest.raises(OSError) as failed:
        internals.run("x")
    assert failed.value is full


def test_no_other_file_of_ours_imports_dvc() -> None:
    files = [path for folder in ("pipeline", "stages", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    importing = set()
    for path in files:
        for each in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in each.names] if isinstance(each, ast.Import) else []
            if isinstance(each, ast.ImportFrom):
                names = [each.module or ""]
            elif isinstance(each, ast.Call) and ast.unparse(each.func).endswith(("import_module", "__import__")):
                names = [str(argument.value) for argument in each.args if isinstance(argument, ast.Constant)]
            if {name.split(".")[0] for name in names} & OF_DVC:
                importing.add(path.relative_to(ROOT).as_posix())
    ours = ("cache", "internals", "looking", "remote", "tasks", "travel", "waiting")
    assert importing == {f"pipeline/dvc/{name}.py" for name in ours}
