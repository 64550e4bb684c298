"""Hostile names through every command that prints: each is shown as text, and forges neither a line nor a cell."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import app
from pipeline.base.errors import UserError
from pipeline.commands.accept import Taken
from pipeline.commands.dry import Prospect
from pipeline.commands.fastest import Way
from pipeline.commands.orders import Chain
from pipeline.commands.status import Standing
from pipeline.compression.card import Card
from pipeline.config.section import unknown
from pipeline.console import errors
from pipeline.console.events import Activity
from pipeline.data.prepared import Prepared, Split
from pipeline.dvc.experiments import Experiment
from pipeline.dvc.lock import Lock
from pipeline.dvc.training_state import VARIABLE
from pipeline.engines.estimate import UNKNOWN, Expected
from pipeline.lineage.node import Node
from pipeline.lineage.results import Row
from pipeline.planning.specs.spec import NodeSpec
from tests.compression import ships
from tests.console.hostile import FILE, HOSTILE, check
from tests.console.test_text import read_back
from tests.scratch import ROOT
from tests.test_commands import names

Lines = list[list[str]]  # of arguments
Patch = pytest.MonkeyPatch


def repro(patch: Patch, folder: Path) -> Lines:
    from pipeline.commands.repro import StageRuns

    def failing(targets: list[str], jobs: int | None) -> int:
        run = StageRuns()
        run.failed, run.not_begun = [HOSTILE], [HOSTILE]
        run.ended = {HOSTILE: SimpleNamespace(why=HOSTILE)}  # pyright: ignore[reportAttributeAccessIssue]
        run.close(1, 0.0)
        raise UserError(f"{HOSTILE} {unknown('stage', targets[0], [HOSTILE])}")

    expected = Expected(1.0, 1)
    found = [Prospect(HOSTILE, verdict, (HOSTILE,), expected) for verdict in ("runs", "may run", "cached")]
    found.append(Prospect(f"new {HOSTILE}", "runs", (HOSTILE,), UNKNOWN))
    patch.setattr("pipeline.commands.repro.repro", failing)
    patch.setattr("pipeline.commands.dry.prospects", lambda targets: found)
    return [["repro", HOSTILE], ["repro", "--dry"], ["repro", "--dry", "--json"]]


def standings() -> list[Standing]:
    lineage = ({"teacher": HOSTILE, "read": HOSTILE, "hash": "0" * 64},)
    node = Node(HOSTILE, "trained", lineage=lineage, chain=((HOSTILE, 0.5),))
    carrier = Node(f"{HOSTILE}/g2", "carried", origin=HOSTILE)
    return [
        Standing(NodeSpec(node=HOSTILE), node, HOSTILE, None),
        Standing(NodeSpec(node=f"{HOSTILE}/g2"), carrier, None, None),
        Standing(NodeSpec(node=f"new {HOSTILE}"), None, None, HOSTILE),
    ]


def status(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.status.standings", standings)
    return [["status"], ["status", "--json"]]


def watch(patch: Patch, folder: Path) -> Lines:
    first = {"node": HOSTILE, "doing": "training", "experiment": HOSTILE, "machine": HOSTILE, "time": 0.0}
    row = {"epoch": 1, "loss": 1.0, "validation_accuracy": 0.5}
    found = Activity({**first, "epochs": 2, "steps": 3, "images": 4}, [{"time": 1.0, "done": 3, "row": row}], [])
    patch.setattr("pipeline.console.events.running", lambda root: [found])
    patch.setenv(VARIABLE, str(folder))
    return [["watch", "--curves"], ["watch", "--json"]]


def tree(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.status.standings", standings)
    return [["tree"], ["tree", "--json"]]


def summary(patch: Patch, folder: Path) -> Lines:
    lineage = ({"teacher": HOSTILE, "read": HOSTILE, "hash": "0" * 64},)
    split = {"accuracy": 0.5}
    cost = {"training_seconds": 1.0, "timed_on": HOSTILE, "peak_memory_bytes": 1e6}
    latency = {"batch_1": {"ratio": 2.0}, "batch_64": {"ratio": 2.0}}
    figures = {"validation": split, "test": split, "parameters": 1, "flops": 1, "bytes": 1, "cost": cost}
    step = {**figures, "step": HOSTILE, "teacher": {"agreement": 0.5}, "cost": {**cost, "latency": latency}}
    names = ("teacher", "baseline", HOSTILE)
    rows = [Row(Node(name, "trained", lineage=lineage), figures) for name in names]
    rows.append(Row(Node(f"{HOSTILE}/c1", "trained", lineage=lineage), step))
    patch.setattr("pipeline.planning.specs.spec.read_spec", lambda *given: SimpleNamespace(nodes=()))
    patch.setattr("pipeline.lineage.results.rows", lambda names: rows)
    return [["summary"], ["summary", "--json"]]


def experiment(name: str, value: str) -> Experiment:
    """One whose name, parameters, network and stage are hostile."""
    parameters = {"seeds.data": 0, "seeds.views": 0, "seeds.train": 0, HOSTILE: value}
    found = Experiment(name, name, None, parameters, {f"cost.{HOSTILE}": len(name)})
    numbers = {HOSTILE: {split: {"accuracy": 0.5} for split in ("validation", "test")}}
    lock = Lock({HOSTILE: {"outs": [{"path": f"metrics/{HOSTILE}.json", "md5": name}]}})
    vars(found).update(numbers=numbers, lock=lock)  # as their first reading would
    return found


def compare(patch: Patch, folder: Path) -> Lines:
    found = [experiment("a", "data/[/x]"), experiment(HOSTILE, HOSTILE)]
    patch.setattr("pipeline.dvc.experiments.read", lambda: found)
    return [["compare"], ["compare", "--json"], ["compare", f"{HOSTILE}?"]]


def seeds(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.seeds.names", lambda *given: {})
    patch.setattr("pipeline.commands.seeds.run", lambda *given: [experiment(HOSTILE, HOSTILE)])
    return [["seeds", "--out", str(folder / "table.json")]]


def queue(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.dvc.queue.check", lambda: None)
    patch.setattr("pipeline.dvc.waiting.names", lambda: [HOSTILE])
    return [["queue", f"{HOSTILE}?"], ["queue", HOSTILE, "--on", HOSTILE]]


def study(patch: Patch, folder: Path) -> Lines:
    from pipeline.commands.study import Arm

    arms = [Arm(name, 1.0, (0.5, 0.6), (0.5, 0.7), 1.0) for name in ("baseline", HOSTILE)]
    patch.setattr("pipeline.planning.build.build", lambda *given: {})
    patch.setattr("pipeline.commands.study.compare", lambda *given: arms)
    return [["study", "--methods", "dkd", "--out", str(folder / "table.json")]]


def orders(patch: Patch, folder: Path) -> Lines:
    chains = [Chain((HOSTILE, "prune"), (0.5, 0.6), (0.5, 0.7), (1, 2))]
    patch.setattr("pipeline.commands.orders.compare", lambda *given: chains)
    return [["orders", HOSTILE, "--out", str(folder / "table.json")]]


def predict(patch: Patch, folder: Path) -> Lines:
    card = Card(classes=tuple(f"{HOSTILE}{n}" for n in range(5)), mean=(0.3,), std=(0.2,), channels=1, size=8)
    patch.setattr(ships, "CARD", card)
    patch.chdir(folder)
    ships.convolution(Path("model.onnx"))
    Path("images").mkdir()
    with Path(f"images/{FILE}.png").open("wb") as file:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    Path(f"images/no {FILE}.png").write_bytes(b"x")
    given = ["predict", "--model", "model.onnx"]
    return [[*given, "images"], [*given, "--json", "images"], [*given, FILE], ["predict", "--model", FILE, "images"]]


def flips(patch: Patch, folder: Path) -> Lines:
    images = np.zeros((4, 1, 8, 8), np.uint8)
    split = Split(images, np.arange(4) % 2)  # pyright: ignore[reportArgumentType]
    data = Prepared(split, split, split, split.labels, (HOSTILE, f"b{HOSTILE}"), (0.0,), (1.0,), 1, 8, "hash")
    answers = {HOSTILE: np.eye(2)[[0, 1, 0, 0]], f"x{HOSTILE}": np.eye(2)[[1, 1, 1, 1]]}
    patch.setattr("pipeline.data.prepared.read", lambda folder: data)
    patch.setattr("pipeline.commands.flips._answers", lambda name, split, data: answers[name])
    patch.chdir(folder)
    given = ["flips", HOSTILE, f"x{HOSTILE}"]
    return [given, [*given, "--json"], [*given, "--max-drop", "0.1"], [*given, "--html", f"{FILE}.html"]]


def fastest(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.fastest.ways", lambda log: [Way(HOSTILE, HOSTILE, {"teacher": 1.0}, 1.0)])
    return [["fastest"]]


def layers(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.layers.lines", lambda node: [("layer",), (HOSTILE,)])
    return [["layers", "teacher"]]


def import_(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.import_weights.import_weights", lambda *given, **more: [HOSTILE])
    return [["import", str(folder / FILE)]]


def views(patch: Patch, folder: Path) -> Lines:
    path = folder / FILE
    path.write_bytes(b"x")
    patch.setattr("pipeline.commands.views.write", lambda *given: [path])
    return [["views", str(folder)]]


def pictures(patch: Patch, folder: Path) -> Lines:
    path = folder / FILE
    path.write_bytes(b"x")
    patch.setattr("pipeline.report.pictures.take", lambda *given: [path])
    return [["pictures"]]


def use(patch: Patch, folder: Path) -> Lines:
    return [["use", HOSTILE]]


def init(patch: Patch, folder: Path) -> Lines:
    (folder / FILE).mkdir()
    (folder / FILE / "dvc.yaml").touch()
    return [["init", str(folder / FILE)]]


def upgrade(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.upgrade.upgrade", lambda dry: [f"+{HOSTILE}"])
    return [["upgrade"]]


def wire(patch: Patch, folder: Path) -> Lines:
    line = HOSTILE.replace("\n", "")  # the diff has lines, those of the file
    patch.setattr("pipeline.commands.wire.wire", lambda *given: f"--- {line}\n+++ {line}")
    return [["wire", "--check"]]


def accept(patch: Patch, folder: Path) -> Lines:
    patch.setattr("pipeline.commands.accept.accept", lambda dry: Taken(again={HOSTILE: HOSTILE}))
    return [["accept"]]


def gc(patch: Patch, folder: Path) -> Lines:
    def denied(*given: Any, **options: Any) -> None:
        raise OSError(errno.EACCES, "x", HOSTILE)

    patch.setattr("pipeline.commands.gc.collect", denied)
    return [["gc"]]


ROWS: dict[str, Callable[[Patch, Path], Lines]] = {
    each.__name__.rstrip("_"): each
    for each in (
        *(repro, status, watch, tree, summary, layers, compare, seeds, queue, study),
        *(orders, predict, flips, import_, views, pictures, use, fastest, init, upgrade, wire, accept, gc),
    )
}


def printed(patch: Patch, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[str, str]:
    """What a command line prints on standard output and on standard error."""
    patch.setattr("sys.argv", ["pipeline", *arguments])
    with pytest.raises(SystemExit):
        errors.run(app)
    said = capsys.readouterr()
    return said.out, said.err


@pytest.fixture
def patch(monkeypatch: Patch) -> Patch:
    """For what a command must not do here, or what it is to find."""
    monkeypatch.setattr("sys.excepthook", None)  # what `errors.run` sets is taken back with these
    monkeypatch.setattr("warnings.formatwarning", None)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    return monkeypatch


def test_every_command_has_its_row() -> None:
    assert sorted(ROWS) == sorted(names(app))


@pytest.mark.parametrize("command", ROWS)
def test_a_hostile_name_is_text(command: str, patch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ROWS[command](patch, tmp_path):
        out, err = printed(patch, capsys, arguments)
        check(out + err, "\t")
        assert "Traceback" not in err
        assert "x][bold]:smile:" in out + err, "markup stays text"
    for table in tmp_path.glob("*.md"):
        check(table.read_text())
        bars = [line.replace(r"\|", "").count("|") for line in table.read_text().splitlines()]
        assert len({*bars}) == 1, "a name makes no cell"


def test_compare_reads_no_markup(patch: Patch, capsys: pytest.CaptureFixture[str]) -> None:
    patch.setattr("pipeline.dvc.experiments.read", lambda: [experiment("a", "data/[/x]"), experiment("b", "data/[v1]")])
    out, _ = printed(patch, capsys, ["compare"])
    assert "data/[/x]" in out
    assert "data/[v1]" in out


def test_a_program_reads_what_the_names_are(patch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, lines, *_ = predict(patch, tmp_path)
    (row,) = printed(patch, capsys, rows)[0].splitlines()
    path, name, probability = map(read_back, row.split("\t"))
    (line,) = printed(patch, capsys, lines)[0].splitlines()
    found = json.loads(line)
    assert path == found["path"] == f"images/{FILE}.png"
    assert Path(path).exists()
    assert name == found["class"]
    assert name.startswith(HOSTILE)
    assert float(probability) == pytest.approx(found["probability"], abs=1e-4)


def test_tables_are_read_by_a_program(patch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(patch, tmp_path)
    found = [json.loads(line) for line in printed(patch, capsys, ["status", "--json"])[0].splitlines()]
    assert [each["node"] for each in found] == [each.name for each in standings()]
    assert found[0]["validation"] == "50.0"
