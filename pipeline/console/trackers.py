"""Curves as they come, for programs that collect runs: TensorBoard, MLflow, Weights & Biases; each an extra of pip.

They are told what the files in `curves/` hold, under the same names. None decides a result: one that fails while a
network trains is named, and left out from then on. Where they write by themselves, it is into `tracked/`, of the
repository that an experiment came from.
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from pipeline.base.curve_row import CurveRow
from pipeline.base.errors import UserError
from pipeline.base.paths import resolve

FOLDER = "tracked"
PROJECT = "cohobate"  # by which runs are found, unless the program's own variable says another
PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}  # by name: what is imported

Warn = Callable[[str], None]


class Tracked(NamedTuple):
    """A training as it is told: its node, what else is settled of it, and the hash of all that decides it."""

    node: str
    settled: Mapping[str, Any]
    key: str

    @property
    def place(self) -> str:
        """The experiment of DVC's that it belongs to, or the workspace."""
        return os.environ.get("DVC_EXP_NAME") or "workspace"

    @property
    def id(self) -> str:
        """The same for a training that goes on after a stop, and for no other."""
        return hashlib.sha256(f"{self.place}\0{self.node}\0{self.key}".encode()).hexdigest()[:16]


class Tracker(Protocol):
    """One program, opened with the first row of a process: of an epoch above 1, where a training goes on."""

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Take the figures of an epoch."""
        ...

    def close(self) -> None:
        """Let the program write what it holds back."""
        ...


class TensorBoard:
    """A folder of events, for `tensorboard --logdir tracked/tensorboard`; its numbers are float32."""

    def __init__(self, run: Tracked, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = resolve(FOLDER) / "tensorboard" / run.place / run.node / run.id
        # What a killed process wrote of this epoch, and of those after it, is not shown.
        self._writer = SummaryWriter(str(folder), purge_step=epoch)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Mlflow:
    """A run on the server that MLFLOW_TRACKING_URI names, or in `tracked/mlflow`."""

    def __init__(self, run: Tracked, epoch: int) -> None:
        import mlflow  # pyright: ignore[reportMissingImports]

        # What is kept in files has been called old by MLflow, and needs no database.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (resolve(FOLDER) / "mlflow").as_uri()
        self._client = mlflow.MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        before = self._client.search_runs([experiment], f"tags.training = '{run.id}'") if epoch > 1 else []
        if before:
            self._run = before[0].info.run_id
            self._client.update_run(self._run, "RUNNING")
            return
        tags = {"mlflow.runName": run.node, "training": run.id, "experiment": run.place}
        self._run = self._client.create_run(experiment, tags=tags).info.run_id
        for key, value in run.settled.items():
            self._client.log_param(self._run, key, value)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class Wandb:
    """A run of Weights & Biases, whose own variables (WANDB_MODE, WANDB_PROJECT) say where; files in `tracked`."""

    def __init__(self, run: Tracked, epoch: int) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        folder = resolve(FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(folder),
            id=run.id,
            resume="allow" if epoch > 1 else None,
            name=run.node,
            group=run.place,
            config={**run.settled},
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log({**values}, step=epoch)

    def close(self) -> None:
        self._run.finish()


OPENED: dict[str, Callable[[Tracked, int], Tracker]] = {"tensorboard": TensorBoard, "mlflow": Mlflow, "wandb": Wandb}


@contextmanager
def tracking(names: Sequence[str], run: Tracked, warn: Warn) -> Iterator[Callable[[CurveRow], None]]:
    """Yield a function that tells each program a finished epoch's row.

    Raises:
        UserError: One is not installed; before anything is trained.
    """
    for name in names:
        _installed(name)
    opened: dict[str, Tracker] = {}
    left = [*names]

    def told(name: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # of whatever class: a server is gone, a disk is full
            left.remove(name)
            why = " ".join(str(error).split())[:200] or type(error).__name__
            warn(f"{run.node}: {name} takes no more of this training ({why}); it goes on, and curves/ has all of it")

    def log(row: CurveRow) -> None:
        epoch = int(row["epoch"])
        values = {key: float(value) for key, value in row.items() if key != "epoch" and value is not None}
        for name in [*left]:

            def take(name: str = name) -> None:
                if name not in opened:
                    opened[name] = OPENED[name](run, epoch)
                opened[name].log(values, epoch)

            told(name, take)

    try:
        yield log
    finally:
        for name, tracker in opened.items():
            if name in left:
                told(name, tracker.close)


def _installed(name: str) -> None:
    try:
        importlib.import_module(PACKAGES[name])
    except ImportError as error:
        raise UserError(
            f"machine.trackers names {name}, which cannot be imported ({error}): install it with "
            f"`pip install -e '.[{name}]'`, or take it out in params.yaml"
        ) from None
