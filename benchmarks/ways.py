"""One teacher that reaches the graph by each way there is, and the student that learns from its stored labels.

A pretrained network is trained a little in the graph. Then it comes again as a user's own file would bring it: a
safetensors file, a checkpoint with `module.` before each name, a network of the user's own module, an ONNX model, and
answers that plain torch gave to our views. Images and networks are those of `benchmarks/pretrained.py`.

Legend: M numbers that a node has stored.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.graph import finish
from benchmarks.pretrained import NAME, Setting, begun, settings, take
from pipeline.base import files
from tests.scratch import Scratch, create

SETTING = Setting(train=125, test=100, probe=3, student=6)
TINY = Setting(10, 2, 72, 1, 1, 1)  # stored encoded, as photographs are
BATCH = 64
HERE, FILE, CHECKPOINT, OWN_FILE, ONNX, ANSWERS = ORDER = (
    "trained in the graph",
    "safetensors file",
    "checkpoint with module. before each name",
    "network of an own module",
    "ONNX model",
    "answers of plain torch",
)
OWN = f"""import timm
from torch import nn


def teacher(classes: int) -> nn.Module:
    return timm.create_model("{NAME}", num_classes=classes)
"""
SAME = "equal bit for bit"
HALF = [0.5] * 3  # its mean and deviation

Params = dict[str, Any]


class Ways:
    """A repository, the files that a user would have, and the teacher that was trained in the graph.

    Attributes:
        files: Folder of the user's files.
        here: Folder of teacher and student as they were trained in the graph.
        given: The teacher's section without what it was trained from.
    """

    def __init__(self, work: Path, params: Params) -> None:
        self.params = params
        self.repository = Scratch(work / "repo") if (work / "repo").exists() else create(work / "repo")
        self.files = work / "files"
        self.here = self.files / "here"
        self.given = {key: value for key, value in params["teacher"].items() if key != "initial"}

    def all(self) -> dict[str, Callable[[], Params]]:
        """What stands in place of the teacher's section, by way; the files that it names are made as it is called."""
        return {
            HERE: lambda: self.params["teacher"],
            FILE: lambda: self._imported(self._file()),
            CHECKPOINT: self._checkpoint,
            OWN_FILE: self._own,
            ONNX: self._onnx,
            ANSWERS: self._answers,
        }

    def train(self) -> None:
        """Train the teacher and its student in the graph, and export the teacher; once."""
        if self.here.exists():
            return
        shipped = {"seed": None, "order": ["export"], "steps": {"export": {"formats": ["onnx"], "opset": 21}}}
        self._run({**self.params, "compress": shipped})
        (exported,) = self.repository.folder.glob("artifacts/compress/*/model.onnx")
        self.files.mkdir(exist_ok=True)
        shutil.copyfile(exported, self.files / "model.onnx")
        part = self.files / "part"
        shutil.rmtree(part, ignore_errors=True)
        for node in ("teacher", "student"):
            shutil.copytree(self.repository.folder / "artifacts" / node, part / node)
        part.rename(self.here)

    def reached(self, teacher: Params) -> dict[str, Any]:
        """What teacher and student are with that section, beside those that were trained in the graph."""
        self._run({**self.params, "teacher": teacher}, "student")
        now = self.repository.folder / "artifacts"
        metrics = files.read_json(self.repository.folder / "metrics" / "student.json")
        return {
            "labels": _difference(now / "teacher", self.here / "teacher", views=True),
            "clean": _difference(now / "teacher", self.here / "teacher", views=False),
            "student_equal": _weights(now) == _weights(self.here),
            "test": metrics["test"]["accuracy"],
        }

    def _run(self, params: Params, *targets: str) -> None:
        self._write(params)
        finish(self.repository, sys.executable, "-m", "dvc", "repro", *targets)

    def _write(self, params: Params) -> None:
        (self.repository.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def _file(self) -> Path:
        return self.here / "teacher" / "model.safetensors"

    def _imported(self, file: Path, architecture: Params | None = None) -> Params:
        weights = {"file": str(file), "sha256": files.sha256(file)}
        return {**self.given, "architecture": architecture or self.given["architecture"], "weights": weights}

    def _checkpoint(self) -> Params:
        made, brought = self.files / "checkpoint.pth", self.files / "imported.safetensors"
        state = {f"module.{name}": tensor for name, tensor in load_file(self._file()).items()}
        torch.save({"epoch": 3, "state_dict": state}, made)
        asked = ("import", str(made), "--out", str(brought))
        self._write(self.params)
        finish(self.repository, sys.executable, "-m", "pipeline", *asked)
        return self._imported(brought)

    def _own(self) -> Params:
        (self.repository.folder / "networks.py").write_text(OWN)
        return self._imported(self._file(), {"family": "own", "module": "networks.py", "build": "teacher"})

    def _onnx(self) -> Params:
        file = self.files / "model.onnx"
        return {**self.given, "onnx": {"file": str(file), "sha256": files.sha256(file)}}

    def _answers(self) -> Params:
        file, asked = self.files / "answers.npz", self.files / "asked"
        given = {"file": str(file), "sha256": "0" * 64, "for_views": "own"}  # as long as there is none
        section = {**self.given, "answers": given}
        self._run({**self.params, "teacher": section}, "prepare")
        finish(self.repository, sys.executable, "-m", "pipeline", "views", str(asked))
        answer(self._file(), asked, file)
        return {**section, "answers": {**given, "sha256": files.sha256(file)}}


def measure(
    out: Path, images: Path, weights: Path, work: Path, tiny: bool, log: Callable[[str], None]
) -> dict[str, Any]:
    """Teacher and student by each way that `out` lacks; written after each.

    Args:
        images: An image folder with `train` and `test`.
        weights: ImageNet's weights of EfficientNet-Lite0 under timm's names.
        work: A folder for images, files and the repository; kept.

    Raises:
        UserError: There are no such images or weights, or `out` is of another setting.
    """
    setting = TINY if tiny else SETTING
    whole = begun(out, "ways", setting, tiny, images, weights)
    found = whole.setdefault("ways", {})
    work = work.resolve()
    take(images, work / "images", setting)
    recipe = {"epochs": setting.probe, "lr": 0.002, "freeze": "embedding"}
    params: Params = settings(setting, weights.resolve(), work / "images", 0, recipe)
    params["baseline"] = None
    params["labels"]["views"] = setting.student
    params["teacher"]["input"] |= {"framing": "crop", "margin": 0.125}  # which timm knows, and an own module does not
    ways = Ways(work, params)
    ways.train()
    for way, section in ways.all().items():
        if way not in found:
            found[way] = ways.reached(section())
            files.write_json(out, whole)
            log(f"{way}: labels differ by {found[way]['labels']:.1g}, test {100 * found[way]['test']:.1f} %")
    return whole


def _weights(folder: Path) -> str:
    return files.read_json(folder / "student" / "node.json")["hashes"]["weights"]


def _difference(node: Path, other: Path, *, views: bool) -> float:
    """How far the logits that two nodes have stored are apart at most, of views, or of clean images of all splits."""
    z_M, other_M = (_logits(each, views) for each in (node, other))
    return float((z_M - other_M).abs().max())


def _logits(node: Path, views: bool) -> Tensor:
    paths = [path for path in sorted(node.glob("*/*.safetensors")) if (path.name > "view_000.safetensors") == views]
    return torch.cat([tensor.flatten() for path in paths for _, tensor in sorted(load_file(path).items())])


def answer(weights: Path, asked: Path, out: Path) -> None:
    """What docs/teacher.md shows: logits of all views in the files of `asked`, by plain torch and timm."""
    import timm

    network = timm.create_model(NAME, num_classes=len(load_file(weights)["classifier.bias"]))
    network.load_state_dict(load_file(weights))
    network.eval()
    mean_C, std_C = (torch.tensor(HALF)[:, None, None] for _ in range(2))
    found = [np.load(path) for path in sorted(asked.glob("view_*.npz"))]
    rows = {key: np.concatenate([file[key] for file in found]) for key in ("number", "path", "view") if key in found[0]}
    with torch.inference_mode():
        logits = [
            network((torch.from_numpy(x_BCHW) - mean_C) / std_C).numpy()
            for file in found
            for x_BCHW in np.array_split(file["images"], -(-len(file["images"]) // BATCH))
        ]
    columns = {"logits": np.concatenate(logits), "view_spec": found[0]["view_spec"], **rows}
    np.savez(out, allow_pickle=False, **columns)


def table(whole: dict[str, Any]) -> list[tuple[str, ...]]:
    """Cells, header first: how far its logits are from those of the trained teacher, and what the student is."""
    cells: list[tuple[str, ...]] = [("the teacher comes as", "labels of views", "clean images", "student", "its test")]
    for way in sorted(whole["ways"], key=ORDER.index):
        found = whole["ways"][way]
        labels, clean = (f"differ by {found[key]:.1g}" if found[key] else SAME for key in ("labels", "clean"))
        cells.append((way, labels, clean, SAME if found["student_equal"] else "another", f"{100 * found['test']:.1f}"))
    return cells
