"""A node: one network in the lineage, what its stage leaves behind and how the next one reads it.

One name everywhere: node `refinery/g3` has `plan/refinery/g3.json`, `artifacts/refinery/g3/`,
`metrics/refinery/g3.json` and `curves/refinery/g3.csv`; its stage is `refinery@g3`.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import ARTIFACTS, CURVES, METRICS
from pipeline.config.input import Input, of_json
from pipeline.config.select import Metric, Select, metric_of

SCHEMA = 1
CURVE_COLUMNS = ("epoch", "learning_rate", "images_per_second", "validation_accuracy", "loss")
EMPTY_CURVE = ",".join(CURVE_COLUMNS) + "\n"
FLOAT = "float"  # in the folder of a quantised file: the network that it was made from, itself a node
Status = Literal["trained", "carried", "imported", "computed", "skipped"]
FileFormat = Literal["safetensors", "onnx", "pt2"]
NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Node:
    """`node.json`: everything needed to use the node without params.yaml, and nothing volatile.

    Attributes:
        name: The node's name, e.g. `refinery/g3`.
        status: How it came to be.
        provides: Which of weights, features, predictions, labels its folder holds.
        format: Of the weights: safetensors, onnx or pt2; None where there are none.
        architecture: Family and settings, with `channels`, `size` (of its input) and `classes`; None for an ensemble.
        input: What it is fed: size, mean, deviation, framing; None where that is what the data has, and for an
            ensemble.
        made_by: Of a network that others' code builds: the versions of what built it, and what computed its
            predictions, so that whoever loads it knows how near its answers must be.
        began_with: SHA-256 of the file of weights that it began with, or that it is; None where there was none.
        lineage: One entry a teacher: its node, what was read of it (labels or weights), and that content's hash.
        chain: (node, figure on validation) of the chain up to here.
        select: The metric that those figures are of; None is accuracy.
        hashes: Content hash of each thing that it provides, so that whoever depends on a pointer
            sees a change behind it, and a damaged file is found before it teaches anyone.
        balanced: By term, the weight that `balance` found; None where no term has that.
        trained_on: The streams of views that its weights were trained on, in the order of the alphabet.
        labels_stream: The stream that it labels, live or stored, which is none of those; students are trained on it.
        origin: For a carried slot, the node whose files stand for it.
        batch_norm: What a short training changed: `momentum`, the one that those below were raised to (else None), and
            whether the statistics were `estimated_again` at the end. None where it changed nothing.
        labels_of: `clean` where its label of a view is that of the clean image; None where it is of the view itself.
        epochs: The number of the one whose weights were `kept`, and of those `trained`, where validation decided that.
        top: The folder of its run, which is not part of it.
    """

    name: str
    status: Status
    provides: tuple[str, ...] = ()
    format: str | None = None
    architecture: dict[str, Any] | None = None
    lineage: tuple[dict[str, str], ...] = ()
    chain: tuple[tuple[str, float], ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    labels_stream: str | None = None
    origin: str | None = None
    balanced: dict[str, float] | None = None
    batch_norm: dict[str, Any] | None = None
    input: Input | None = None
    made_by: dict[str, str] | None = None
    labels_of: str | None = None
    epochs: dict[str, int] | None = None
    began_with: str | None = None
    select: Select | None = None
    top: Path = field(default=Path(), compare=False)

    @property
    def metric(self) -> Metric:
        """What the figures of its chain are of."""
        return metric_of(self.select)

    @property
    def folder(self) -> Path:
        """Where the files are: the origin's folder for a carried slot."""
        return self.top / ARTIFACTS / (self.origin or self.name)

    @property
    def weights(self) -> Path:
        """The checkpoint, or the file that ships."""
        return self.folder / f"model.{self.format}"

    @property
    def labels(self) -> Path:
        """The folder of soft labels."""
        return self.folder / "labels"

    @property
    def predictions(self) -> Path:
        """The file of logits on clean validation and test images."""
        return self.folder / "predictions" / "logits.safetensors"

    @property
    def as_json(self) -> dict[str, Any]:
        """As `node.json` has it, without the schema."""
        value = {key: item for key, item in asdict(self).items() if item is not None and key != "top"}
        return value | ({"input": self.input.as_json()} if self.input else {})

    @property
    def source(self) -> str:
        """The name of the node that the files belong to."""
        return self.origin or self.name


def read(name: str, top: Path = Path()) -> Node:
    """Read `artifacts/<name>/node.json` below `top`; a pointer already names its final origin."""
    return replace(read_at(top / ARTIFACTS / name), top=top)


def read_at(folder: Path) -> Node:
    """Read the `node.json` of a folder; a missing or damaged one is a `UserError`.

    Its seal shows damage, not who wrote it: names become paths, so those that could lead elsewhere are refused.
    """
    path = folder / "node.json"
    value = files.read_sealed(path, SCHEMA)
    del value["schema"]
    try:
        node = Node(**value)
        pairs = tuple((str(member), float(figure)) for member, figure in node.chain)
        lineage = tuple({"teacher": item["teacher"], **item} for item in node.lineage)
        node = replace(node, provides=tuple(node.provides), lineage=lineage, chain=pairs, hashes={**node.hashes})
        node = replace(node, trained_on=tuple(node.trained_on), input=of_json(value.get("input")))
        _check(node)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None
    return node


def _check(node: Node) -> None:
    """Raise `ValueError` for what no stage of ours writes."""
    taught = (item["teacher"] for item in node.lineage)
    for name in (node.name, node.source, *taught, *(member for member, _ in node.chain)):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a node")
    if node.status not in get_args(Status):
        raise ValueError(f"{node.status!r} is no status")
    if node.format is not None and node.format not in get_args(FileFormat):
        raise ValueError(f"{node.format!r} is no format of weights")
    if node.architecture is not None and not isinstance(node.architecture, dict):
        raise ValueError("its architecture is no mapping")
    if not all(isinstance(stream, str) for stream in (*node.trained_on, node.labels_stream or "")):
        raise ValueError("its streams of views are no names")
    if not isinstance(node.made_by, dict | None):
        raise ValueError("what made it is no mapping")
    if node.select is not None and node.select not in get_args(Select):
        raise ValueError(f"{node.select!r} is no metric that its chain may be of")
    if node.labels_of not in (None, "clean"):
        raise ValueError(f"{node.labels_of!r} is not what its labels are of")
    if node.began_with is not None and not HASH.fullmatch(str(node.began_with)):
        raise ValueError("what it began with is no hash")
    if node.labels_stream in node.trained_on:
        raise ValueError(f"it labels the views that it was trained on, {node.labels_stream}")
    for what in ("weights", "predictions", "labels"):
        if what in node.provides and not HASH.fullmatch(str(node.hashes.get(what))):
            raise ValueError(f"it has no hash of its {what}")


def checked_weights(of: Node) -> Path:
    """The file of a node's weights after its hash was compared; a missing or changed one is a `UserError`."""
    path = of.weights
    try:
        files.verify(path, of.hashes["weights"], f"delete {of.folder} and run `dvc repro`")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    return path


@contextmanager
def writing(name: str) -> Iterator[Path]:
    """Yield a temporary folder to fill; it becomes `artifacts/<name>` at the end, or never was."""
    with files.replacing(ARTIFACTS / name) as folder:
        folder.mkdir()
        yield folder


def write(folder: Path, node: Node) -> None:
    """Write `node.json` into the folder."""
    files.write_sealed(folder / "node.json", {"schema": SCHEMA, **node.as_json})


def keep_weights(of: Node, folder: Path, name: str) -> None:
    """Write a node's weights again as the node `name`, whose last part is its folder within `folder`."""
    kept = replace(of, name=name, origin=None, provides=("weights",), hashes={"weights": of.hashes["weights"]})
    own = folder / name.rpartition("/")[2]
    own.mkdir()
    shutil.copyfile(checked_weights(of), own / kept.weights.name)
    write(own, kept)


def write_numbers(name: str, metrics: dict[str, Any], curve: str) -> None:
    """Write the metrics and the curve, CSV text, of a node; where that fails the node goes, too."""
    try:
        files.write_sealed(METRICS / f"{name}.json", metrics)
        files.write_text(CURVES / f"{name}.csv", curve)
    except BaseException:
        discard(name)
        raise


def read_numbers(name: str, top: Path = Path()) -> dict[str, Any]:
    """Read the metrics of a node that has some of its own; a missing or damaged file is a `UserError`."""
    path = top / METRICS / f"{name}.json"
    value = files.read_sealed(path)
    try:
        splits = [value[split] for split in ("validation", "test") if split in value]
        numbers = [value["cost"]["training_seconds"], *(split["accuracy"] for split in splits)]
        whole = all(isinstance(number, int | float) for number in numbers)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(f"{path} lacks numbers of a network: delete it and run `dvc repro`")
    return value


def carry(name: str, previous: Node) -> Node:
    """Let slot `name` stand for `previous`: a pointer, no files."""
    node = pointer(name, previous)
    with writing(name) as folder:
        write(folder, node)
    write_pointer_numbers(name, previous.source)
    return node


def pointer(name: str, to: Node) -> Node:
    """The node `name` that stands for another one."""
    return Node(**{**vars(to), "name": name, "status": "carried", "origin": to.source})


def write_pointer_numbers(name: str, origin: str) -> None:
    """Metrics that name the origin, and a curve without rows."""
    write_numbers(name, {"status": "carried", "origin": origin}, EMPTY_CURVE)


def skip(name: str) -> None:
    """Write the node of a step that is switched off."""
    with writing(name) as folder:
        write(folder, Node(name, "skipped"))
    write_numbers(name, {"status": "skipped"}, EMPTY_CURVE)


def discard(name: str) -> None:
    """Remove what a failed stage may have left, so that nothing half-written is ever read."""
    for top in (ARTIFACTS, METRICS, CURVES):
        shutil.rmtree(top / name, ignore_errors=True)
    (METRICS / f"{name}.json").unlink(missing_ok=True)
    (CURVES / f"{name}.csv").unlink(missing_ok=True)
