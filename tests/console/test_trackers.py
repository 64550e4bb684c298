"""Curves as programs that collect runs have them: read back they are equal, after a stop, too."""

import importlib
import json
import struct
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.console import trackers
from pipeline.console.trackers import PACKAGES, Tracked, tracking

ROWS = [
    {
        "epoch": epoch,
        "learning_rate": 0.1 / epoch,
        "images_per_second": 700.1,
        "validation_accuracy": None if epoch == 1 else 0.1 * epoch,
        "loss": 2.0 / 3**epoch,
    }
    for epoch in (1, 2, 3, 4)
]
BLOCK = 1 << 15  # bytes
PATIENCE = 20.0  # seconds
RUN = Tracked("assistant/t1", {"machine": "cpu, float32", "images": 90, "epochs": 4}, "k")
EXPECTED = {
    name: {row["epoch"]: row[name] for row in ROWS if row[name] is not None} for name in ROWS[0] if name != "epoch"
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(name: str, rows: list[dict[str, Any]], run: Tracked = RUN) -> list[str]:
    """Of one process; what it warned of."""
    warned: list[str] = []
    with tracking([name], run, warned.append) as log:
        for row in rows:
            log(row)
    return warned


def float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def tensorboard(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), purge_orphaned_data=True)
    found.Reload()
    return {name: {each.step: each.value for each in found.Scalars(name)} for name in found.Tags()["scalars"]}


def test_tensorboard_reads_back_the_curve_also_of_a_training_that_was_killed(here: Path) -> None:
    pytest.importorskip("tensorboard")
    assert told("tensorboard", ROWS[:3]) == []
    # What was told of epoch 3 was lost with the process: it comes again.
    changed = {**ROWS[2], "loss": 0.25}
    assert told("tensorboard", [changed, ROWS[3]]) == []
    (folder,) = (here / "tracked" / "tensorboard" / "workspace" / "assistant" / "t1").iterdir()
    expected = {name: {epoch: float32(value) for epoch, value in curve.items()} for name, curve in EXPECTED.items()}
    expected["loss"][3] = 0.25
    assert tensorboard(folder) == expected
    told("tensorboard", ROWS, RUN._replace(key="other"))
    assert len([*folder.parent.iterdir()]) == 2, "other settings are another run"


def test_mlflow_reads_back_the_curve_in_one_run(here: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    assert told("mlflow", ROWS[:3]) == told("mlflow", ROWS[2:]) == []
    client = mlflow.MlflowClient((here / "tracked" / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("cohobate")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "assistant/t1" and run.info.status == "FINISHED"
    assert run.data.params == {key: str(value) for key, value in RUN.settled.items()}
    for name, curve in EXPECTED.items():
        found = client.get_metric_history(run.info.run_id, name)
        assert {each.step: each.value for each in found} == curve, name
    told("mlflow", ROWS[:1])
    assert len(client.search_runs([experiment.experiment_id])) == 2, "what begins anew is another run"


def records(content: bytes) -> Iterator[bytes]:
    """Those of a file of Weights & Biases: LevelDB's log, after a header of 7 bytes."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK  # padded
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        if at + 7 + length > len(content):
            return  # not written to its end yet
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            yield whole
            whole = b""


def test_wandb_writes_the_curve_offline(here: Path) -> None:
    pytest.importorskip("wandb")
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    assert told("wandb", ROWS) == []
    (file,) = (here / "tracked" / "wandb").glob("offline-run-*/*.wandb")

    def found() -> dict[str, dict[int, float]]:
        curves: dict[str, dict[int, float]] = {}
        for content in records(file.read_bytes()):
            record = messages.Record()
            record.ParseFromString(content)
            if record.HasField("history"):
                items = record.history.item
                values = {".".join(each.nested_key) or each.key: json.loads(each.value_json) for each in items}
                for name in values.keys() & EXPECTED.keys():
                    curves.setdefault(name, {})[values["_step"]] = values[name]
        return curves

    # Its own process writes the file, on a busy machine a moment after the run has ended.
    until = time.monotonic() + PATIENCE
    while found() != EXPECTED and time.monotonic() < until:
        time.sleep(0.1)
    assert found() == EXPECTED


class Fake:
    """Fails when it is asked to."""

    said: list[str]
    fails: Callable[[str], bool]

    def __init__(self, run: Tracked, epoch: int) -> None:
        self.do(f"open {run.node} {epoch}")

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self.do(f"log {epoch}")

    def close(self) -> None:
        self.do("close")

    def do(self, what: str) -> None:
        Fake.said.append(what)
        if Fake.fails(what):
            raise ConnectionError("no route\nto host")


@pytest.mark.parametrize("at", ["open", "log 2", "close", "nowhere"])
def test_what_fails_is_named_once_and_the_training_goes_on(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Fake.said, Fake.fails = [], lambda what: what.startswith(at)
    monkeypatch.setattr(trackers, "OPENED", {"mlflow": Fake, "wandb": Fake})
    monkeypatch.setitem(PACKAGES, "mlflow", "json")
    monkeypatch.setitem(PACKAGES, "wandb", "json")
    warned: list[str] = []
    with tracking(["mlflow"], RUN, warned.append) as log:
        for row in ROWS:
            log(row)
    steps = ["open assistant/t1 1", "log 1", "log 2", "log 3", "log 4", "close"]
    if at == "nowhere":
        assert Fake.said == steps and not warned
        return
    assert Fake.said == steps[: next(i for i, step in enumerate(steps) if step.startswith(at)) + 1]
    assert warned == [
        "assistant/t1: mlflow takes no more of this training (no route to host); it goes on, and curves/ has all of it"
    ]


def test_a_training_that_fails_closes_them_and_keeps_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Fake.said, Fake.fails = [], lambda what: False
    monkeypatch.setattr(trackers, "OPENED", {"mlflow": Fake})
    monkeypatch.setitem(PACKAGES, "mlflow", "json")
    with pytest.raises(KeyError), tracking(["mlflow"], RUN, pytest.fail) as log:
        log(ROWS[1])
        raise KeyError
    assert Fake.said == ["open assistant/t1 2", "log 2", "close"]


@pytest.mark.parametrize("name", PACKAGES)
def test_one_that_is_not_installed_is_named_before_anything_is_trained(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with (
        pytest.raises(UserError, match=rf"machine.trackers names {name}, which cannot be imported .*\[{name}\]"),
        tracking([name], RUN, pytest.fail),
    ):
        pytest.fail("it trains")


def test_an_experiment_from_the_queue_writes_where_it_came_from(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    writer = types.ModuleType("torch.utils.tensorboard")
    writer.SummaryWriter = lambda folder, purge_step: seen.append(folder) or Fake  # pyright: ignore
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", writer)
    monkeypatch.setenv("DVC_ROOT", str(here))
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-axis")
    monkeypatch.chdir(tmp_path_factory.mktemp("workspace"))
    trackers.TensorBoard(RUN, 1)
    assert seen == [str(here / "tracked" / "tensorboard" / "puffy-axis" / "assistant" / "t1" / RUN.id)]
