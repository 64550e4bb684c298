"""One thread, set before torch is imported; and one run of the whole lineage, for all who ask what comes of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.faults.graph import resize, stages
from tests.scratch import COMMIT, LENGTHS, METHODS, SKIPPED, Scratch, create

# Tiny nets are fastest on one thread, and bytes depend on the number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# For mutants: whether a test notices one must not hang on what is drawn.
settings.register_profile("repeatable", derandomize=True, database=None)


# The file that makes the lineage, which takes longest; and those that take long and need none of it.
FIRST = "tests/planning/test_graph.py"
LONG = ("compression/test_chain.py", "compression/test_quantise.py", "faults/test_faults.py", "test_extend.py")


def pytest_configure(config: pytest.Config) -> None:
    # Else pytest-xdist begins with the files of most tests, whatever they take.
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # so that pytest-random-order has the last word
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An order in which no worker waits for another: one makes the lineage, while others do what needs none.

    Then come the other files that use it, and the short ones last, so that all workers end at about the same time.
    """
    users = {item.path for item in items if "lineage" in getattr(item, "fixturenames", ())}

    def place(item: pytest.Item) -> int:
        name = item.path.as_posix()
        return 0 if name.endswith(FIRST) else 1 if name.endswith(LONG) else 2 if item.path in users else 3

    items.sort(key=place)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that this test run makes once: the first process of pytest-xdist that asks, while others wait."""
    top = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent
    folder, done = top / name / "repository", top / name / "done"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(top / name / "lock"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A repository in which only `plan` has run. To be read, not changed."""

    def make(folder: Path) -> None:
        scratch = create(folder)
        # Fewer slots than ours: what DVC does after each stage takes as long as there are stages.
        resize(folder, LENGTHS, [*METHODS, SKIPPED])
        scratch.run(*COMMIT)
        scratch.stage("plan")

    return Scratch(made_once(tmp_path_factory, "fresh", make))


@pytest.fixture(scope="session")
def lineage(fresh: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A repository in which the whole small graph has run once. To be read, not changed: `copied` is for that."""

    def make(folder: Path) -> None:
        from tests.faults.process import run_all  # it has torch, which most of who reads this file can do without

        scratch = fresh.copy(folder)
        # A process that has torch is forked for each stage, in half the time of `dvc repro`, which has nothing to add:
        # where DVC would run a stage again after this, `test_a_second_run_only_plans` fails.
        run_all(stages(folder), folder, folder / ".dvc" / "training-state", folder.with_name("log"))
        scratch.run("dvc", "commit", "--quiet", "--force")

    return Scratch(made_once(tmp_path_factory, "lineage", make))


@pytest.fixture
def copied(lineage: Scratch, tmp_path: Path) -> Scratch:
    """A copy of the finished lineage, to change at will."""
    return lineage.copy(tmp_path / "repository")


@pytest.fixture
def untrained(lineage: Scratch, tmp_path: Path) -> Scratch:
    """A copy of the finished lineage that knows nothing of earlier training."""
    return lineage.copy(tmp_path / "repository", tmp_path / "state")
