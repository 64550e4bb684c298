"""One thread, set before torch is imported; and one run of the whole lineage, for all who ask what comes of it."""

import os
from pathlib import Path

import pytest

from tests.scratch import Scratch, create

# Tiny nets are fastest on one thread, and bytes depend on the number.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A repository in which only `plan` has run. To be read, not changed."""
    scratch = create(tmp_path_factory.mktemp("fresh") / "repository")
    scratch.stage("plan")
    return scratch


@pytest.fixture(scope="session")
def lineage(fresh: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A repository in which the whole graph has run once. To be read, not changed: `copied` is for that."""
    scratch = fresh.copy(tmp_path_factory.mktemp("lineage") / "repository")
    scratch.repro()
    return scratch


@pytest.fixture
def copied(lineage: Scratch, tmp_path: Path) -> Scratch:
    """A copy of the finished lineage, to change at will."""
    return lineage.copy(tmp_path / "repository")


@pytest.fixture
def untrained(lineage: Scratch, tmp_path: Path) -> Scratch:
    """A copy of the finished lineage that knows nothing of earlier training."""
    return lineage.copy(tmp_path / "repository", tmp_path / "state")
