"""Memory is bounded by a model, a batch and mapped pages: a prepared set larger than the limit trains all the same."""

import multiprocessing
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.planning.specs.spec import write_specs

ROOM = 104 << 20  # bytes beyond what the imports have taken; 8 MiB of it are the stack of the thread that saves
TRAIN = 50_000  # images of 3 x 32 x 32: 154 MB


class Synthetic:
    """Images that are made when asked for."""

    shape = (TRAIN + 4000, 3, 32, 32)

    def __getitem__(self, rows_B: np.ndarray) -> np.ndarray:
        pattern = np.arange(3 * 32 * 32, dtype=np.int64).reshape(3, 32, 32)
        found = ((pattern[None] * (1 + rows_B[:, None, None, None] % 7)) % 256).astype(np.uint8)
        found[:, 0, 0, :4] = rows_B.astype("<u4").view(np.uint8).reshape(-1, 4)  # copies would be one unit
        return found


def _train(folder: str, resident: int, output: str) -> None:
    """Prepare; then train, label and predict within the limit; the exit status is that of the command line."""
    from pipeline.base.paths import DATA, PLAN
    from pipeline.config import params
    from pipeline.console.errors import run
    from pipeline.data import prepare
    from pipeline.data.images import Source
    from pipeline.dvc.training_state import VARIABLE
    from pipeline.training import device, learn
    from tests.faults import process  # noqa: F401  what a first step imports, imported before the limit
    from tests.training.runs import planned

    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(folder)
    os.environ[VARIABLE] = str(Path(folder) / "state")
    device.HOST_BYTES = resident
    source = Source(Synthetic(), np.arange(TRAIN + 4000) % 7, tuple("abcdefg"))
    prepare.load = lambda data, root: source
    specs = planned(
        Path(folder),
        {
            "data": {"per_class": None, "validation": 0.05, "test": 0.05},
            "training": {"epochs": 1, "batch_size": 64},
            "teacher": {"architecture": {"width": 2}, "recipe": {"epochs": 1}},
            "labels": {"views": 1},
        },
    )
    write_specs(specs, PLAN)
    DATA.mkdir(parents=True)
    header = prepare.prepare(params.read(Path("params.yaml")).data, Path(), 0, DATA)
    assert np.prod(header["shapes"]["train"]) > 1.25 * ROOM
    status = Path("/proc/self/status").read_text().splitlines()
    (now,) = (int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (now + ROOM, resource.RLIM_INFINITY))

    def command() -> None:
        learn.learn(specs["teacher"])
        print("trained")

    run(command)  # pyright: ignore[reportArgumentType]


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize(("resident", "status"), [(0, 0), (1 << 40, 1)], ids=["mapped", "copied"])
def test_a_set_larger_than_the_memory_trains(tmp_path: Path, resident: int, status: int) -> None:
    """Copied whole instead, as sets are that `HOST_BYTES` allows, it needs more than there is, and says so."""
    output = tmp_path / "said"
    process = multiprocessing.get_context("spawn").Process(target=_train, args=(str(tmp_path), resident, str(output)))
    process.start()
    process.join(300)
    said = output.read_text()
    assert process.exitcode == status, said
    assert "Traceback" not in said
    assert ("trained" in said) if status == 0 else ("error: the memory is not enough: lower " in said)
