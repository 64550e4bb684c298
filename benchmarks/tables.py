"""`python -m benchmarks.tables`: write the tables of README and docs anew from the JSON that is committed.

A table stands between `<!-- table: <file> [<which>] -->` and `<!-- end of table -->`; the file is one of docs/. `--run`
first keeps the figures of the last run in this folder, for README, as docs/study/default.json.
"""

import argparse
import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks import (
    calibrated,
    forecast,
    gradients,
    labels,
    lowrank,
    measure,
    norms,
    pretrained,
    runtimes,
    smaller,
    store,
    unequal,
    unlabelled,
    ways,
    weights,
    zoo,
)
from benchmarks.gpu import tables as gpu
from pipeline.base.errors import UserError
from pipeline.base.files import write_json, write_text
from pipeline.commands import orders, study
from pipeline.lineage import results, tables
from pipeline.lineage.node import Node
from pipeline.lineage.results import Row, markdown, show
from pipeline.planning.specs.readers import SummarySpec
from pipeline.planning.specs.spec import read_spec
from tests.faults import record
from tests.faults.cluster import CLUSTER
from tests.faults.runs import RUNS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NAMES = (
    "study",
    "compression",
    "methods",
    "labels",
    "performance",
    "reliability",
    "unequal",
    "zoo",
    "networks",
    "teacher",
    "promises",
    "store",
    "dry",
)
PAGES = (ROOT / "README.md", *(DOCS / f"{name}.md" for name in NAMES))
RUN = DOCS / "study/default.json"
PLACE = re.compile(r"(<!-- table: (\S+\.json) ?(\S*) -->\n).*?(<!-- end of table -->)", re.DOTALL)

Maker = Callable[[Path, str], str]


def filled(text: str, folder: Path = DOCS) -> str:
    """A page with each of its tables made anew from its file in `folder`."""
    return PLACE.sub(lambda place: f"{place[1]}{_table(folder / place[2], place[3])}\n{place[4]}", text)


def keep_run(path: Path = RUN) -> None:
    """Keep what README shows of the last run of the graph."""
    rows = results.rows(read_spec("summary", SummarySpec).nodes)
    write_json(path, [{"node": row.node.as_json, "metrics": row.metrics} for row in rows])


def _table(path: Path, which: str) -> str:
    maker = MAKERS.get(path.name)
    if maker is None:
        raise UserError(f"{path.name} has no table: name its maker in benchmarks/tables.py")
    return maker(path, which).strip()


def _of(cells: Callable[[Any], list[tuple[str, ...]]]) -> Maker:
    """A maker whose file holds one table."""
    return lambda path, which: markdown(cells(json.loads(path.read_text())))


def _study(path: Path, which: str) -> str:
    return markdown(study.table([study.Arm(**each) for each in _read(path)]))


def _orders(path: Path, which: str) -> str:
    return markdown(orders.table([orders.Chain(**each) for each in _read(path)]))


def _gradients(path: Path, which: str) -> str:
    return markdown(gradients.tables(gradients.read(path))[which])


def _smaller(path: Path, which: str) -> str:
    networks = json.loads(path.read_text())["networks"]
    return markdown(smaller.failures(networks) if which == "failed" else smaller.table(networks))


def _gpu(path: Path, which: str) -> str:
    return markdown(gpu.cells(path, which))


def _faults(path: Path, which: str) -> str:
    every = {**RUNS, **CLUSTER}
    return record.table(record.read(path), {name: (run.__doc__ or "").strip() for name, run in every.items()})


def _run(path: Path, which: str) -> str:
    rows = [Row(_node(each["node"]), each["metrics"]) for each in json.loads(path.read_text())]
    with redirect_stdout(io.StringIO()) as printed:
        show(results.lines(rows) if which == "nodes" else tables.lines(rows))
    lines = [line.rstrip() for line in printed.getvalue().strip("\n").splitlines()]
    return "\n".join(("```text", *filter(None, lines), "```"))


def _read(path: Path) -> list[dict[str, Any]]:
    """A list of objects, whose lists are tuples."""
    return [
        {key: tuple(value) if isinstance(value, list) else value for key, value in each.items()}
        for each in json.loads(path.read_text())
    ]


def _node(value: dict[str, Any]) -> Node:
    return Node(**value | {"lineage": tuple(value["lineage"]), "chain": tuple(map(tuple, value["chain"]))})


MAKERS: dict[str, Maker] = {
    "cluster.json": _faults,
    "digits.json": _study,
    "fashion.json": _study,
    "compress-bits.json": _orders,
    "compress-orders.json": _orders,
    "gradients.json": _gradients,
    "weights.json": _of(weights.table),
    "fast.json": _gpu,
    "fed.json": _gpu,
    "norms.json": _of(norms.table),
    "unequal.json": _of(unequal.table),
    "unlabelled.json": _of(unlabelled.table),
    "lowrank.json": _of(lowrank.table),
    "labels.json": _of(labels.table),
    "performance.json": _of(measure.table),
    "pretrained.json": _of(pretrained.table),
    "runtimes.json": _of(runtimes.table),
    "smaller.json": _smaller,
    "ways.json": _of(ways.table),
    "calibrated.json": _of(calibrated.table),
    "store.json": _of(store.table),
    "forecast.json": _of(forecast.table),
    "zoo.json": _of(lambda whole: zoo.table(whole["networks"])),
    "faults.json": _faults,
    RUN.name: _run,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--run", action="store_true", help="keep the figures of the last run first")
    if parser.parse_args().run:
        keep_run()
    for page in PAGES:
        write_text(page, filled(page.read_text()))
