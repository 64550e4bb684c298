"""What each runtime loses: a fine-tuned EfficientNet-Lite0, and a MobileNetV3-Small that it teaches; float and int8.

The graph itself runs on CIFAR-10 as JPEG files at 96 pixels, in a scratch repository that is kept: teacher, student of
its stored labels, and of each the files that ship. Each file answers the test images in its own runtime.

Legend: N test images, C classes.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.graph import finish
from benchmarks.pretrained import TINY, Setting, settings, take
from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.data import prepared
from pipeline.evaluation.flips import Flips
from tests.scratch import Scratch, create

NETWORKS = {"EfficientNet-Lite0, fine-tuned": "teacher", "MobileNetV3-Small, distilled": "student"}
FILES: dict[str, dict[str, Any]] = {"float32": {}, "int8": {"quantise": {"keep": "auto"}}}
FORMATS = ("onnx", "openvino", "ncnn", "litert", "torch")
WHOLE = Setting(train=500, test=300, tuned=5, student=16)


def measure(
    out: Path, data: Path, weights: Path, work: Path, litert: str | None, tiny: bool, log: Callable[[str], None]
) -> dict[str, Any]:
    """The files that `out` lacks, written after each.

    Args:
        data: CIFAR-10 as an image folder with `train` and `test`.
        weights: ImageNet's weights of EfficientNet-Lite0 under timm's names.
        work: A folder for images and a repository; kept.
        litert: The interpreter in which litert-torch is installed; None leaves LiteRT out.

    Raises:
        UserError: `out` is of another setting.
    """
    setting = TINY if tiny else WHOLE
    asked = {"benchmark": "runtimes", "torch": torch.__version__, "setting": asdict(setting), "litert": bool(litert)}
    whole: dict[str, Any] = files.read_json(out) if out.exists() else asked
    if {key: whole.get(key) for key in asked} != asked:
        raise UserError(f"{out} is of another setting: name another file")
    work = work.resolve()
    take(data, work / "images", setting)
    recipe = {"epochs": setting.tuned, "lr": 0.0003, "head_lr": 0.002}
    params = settings(setting, weights.resolve(), work / "images", 0, recipe)
    params |= {"baseline": None}
    params["labels"]["views"] = setting.student
    repository = Scratch(work / "graph") if (work / "graph").exists() else create(work / "graph")
    networks = whole.setdefault("networks", {})
    for name, node in NETWORKS.items():
        for form, before in FILES.items():
            found = networks.setdefault(name, {})
            if form not in found:
                found[form] = _shipped(repository, params, node, before, litert)
                files.write_json(out, whole)
                log(f"{name}, {form}: {found[form]}")
    return whole


def _shipped(
    repository: Scratch, params: dict[str, Any], node: str, before: Mapping[str, Any], litert: str | None
) -> dict[str, Any]:
    """What is to be said of a network's files, by runtime; `before` is what comes before `export`."""
    formats = [each for each in FORMATS if each != "litert" or litert]
    export = {"formats": formats, **({"litert": {"python": litert}} if litert else {})}
    order = [*before, "export"]
    compress = {"seed": None, "order": order, "steps": {**before, "export": export}}
    edges = {**params.get("edges", {}), "compress": node}
    text = yaml.safe_dump({**params, "compress": compress, "edges": edges}, sort_keys=False)
    (repository.folder / "params.yaml").write_text(text)
    last = f"c{len(order)}"
    finish(repository, sys.executable, "-m", "dvc", "repro", f"compress@{last}")
    artifacts = repository.folder / "artifacts"
    metrics = files.read_json(repository.folder / "metrics" / "compress" / f"{last}.json")
    y_N = torch.from_numpy(prepared.read(artifacts / "data").test.labels.copy())
    whole_NC = _stored(artifacts / node)
    found: dict[str, Any] = {"whole": float((whole_NC.argmax(1) == y_N).double().mean()), "images": len(y_N)}
    for name, told in metrics["runtimes"].items():
        folder = artifacts / "compress" / last
        if "not_run" in told:
            found[name] = told
        elif not before or told["precision"] != "float32":  # what else holds the float network is told beside that
            own_NC = _stored(folder if name == FORMATS[0] else folder / name)
            found[name] = {"bytes": told["bytes"], "ms": metrics["cost"]["runtimes_ms"][name]}
            found[name] |= _compared(own_NC, whole_NC, y_N)
    return found


def _stored(folder: Path) -> Tensor:
    """Logits (N, C) of test."""
    return load_file(folder / "predictions" / "logits.safetensors")["test"]


def _compared(own_NC: Tensor, whole_NC: Tensor, y_N: Tensor) -> dict[str, Any]:
    own_N, whole_N = (logits_NC.argmax(1) == y_N for logits_NC in (own_NC, whole_NC))
    flips = Flips(len(y_N), int((whole_N & ~own_N).sum()), int((own_N & ~whole_N).sum()))
    same = (own_NC.argmax(1) == whole_NC.argmax(1)).double().mean()
    return {
        "test": float(own_N.double().mean()),
        "same": float(same),
        "drop": flips.drop,
        "interval": [*flips.interval],
    }


def table(whole: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells, header first: a line a file and runtime, beside the network in torch that it was made from."""
    header = ("network", "file", "runs in", "MB", "test", "lost to torch, 95 %", "same answers", "ms an image")
    cells: list[tuple[str, ...]] = [header]
    for name, forms in whole["networks"].items():
        for form, found in forms.items():
            for runtime, told in found.items():
                if runtime in ("whole", "images"):
                    continue
                if "not_run" in told:
                    cells.append((name, form, runtime, "", f"not run: {told['not_run']}", "", "", ""))
                    continue
                low, high = (100 * each for each in told["interval"])
                cells.append(
                    (
                        *(name, form, runtime, f"{told['bytes'] / 1e6:.1f}", f"{100 * told['test']:.2f}"),
                        f"{100 * told['drop']:+.2f} [{low:+.2f}, {high:+.2f}]",
                        *(f"{100 * told['same']:.1f} %", f"{told['ms']:.2f}"),
                    )
                )
    return cells
