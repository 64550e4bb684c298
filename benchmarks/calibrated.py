"""What a temperature does for the files that ship, and what can be promised of them: three data sets, two files each.

The graph itself runs, in scratch repositories that are kept: teacher, student of its stored labels, and the student's
file in float32 and int8. Promises are reckoned from what the graph stored, by the functions that `export` calls.

Legend: N images of half of validation.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from benchmarks.graph import finish
from benchmarks.pretrained import Setting, settings, take
from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.data import prepared
from pipeline.data.halves import halves
from pipeline.evaluation.abstaining import promise
from pipeline.evaluation.flips import Flips
from pipeline.evaluation.temperature import surest
from tests.scratch import PARAMS, ROOT, Scratch, create

DIGITS, FASHION, CIFAR = "digits", "Fashion-MNIST", "CIFAR-10, 96 pixels"
FILES = {"float32": ["export"], "int8": ["quantise", "export"]}
ERRORS = (0.01, 0.02, 0.05)
PHOTOGRAPHS = Setting(train=1000, test=250, probe=3, student=8)
TINY = Setting(10, 2, 32, 1, 1, 1)

Params = dict[str, Any]


def measure(
    out: Path,
    work: Path,
    fashion: Path | None,
    images: Path | None,
    weights: Path | None,
    tiny: bool,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """The files that `out` lacks, written after each; a data set whose folder is not named is left out.

    Args:
        work: A folder for repositories; kept.
        fashion: Holds Fashion-MNIST as torchvision lays it out.
        images: CIFAR-10 as an image folder with `train` and `test`.
        weights: ImageNet's weights of EfficientNet-Lite0 under timm's names.

    Raises:
        UserError: `out` is of another setting.
    """
    asked = {"benchmark": "calibrated", "tiny": tiny, "torch": torch.__version__}
    whole: dict[str, Any] = files.read_json(out) if out.exists() else asked
    if {key: whole.get(key) for key in asked} != asked:
        raise UserError(f"{out} is of another setting: name another file")
    work = work.resolve()
    sets = {DIGITS: _digits(tiny)}
    if fashion:
        sets[FASHION] = _fashion(fashion.resolve(), tiny)
    if images and weights:
        setting = TINY if tiny else PHOTOGRAPHS
        take(images, work / "images", setting)
        sets[CIFAR] = _photographs(setting, weights.resolve(), work / "images")
    found = whole.setdefault("sets", {})
    for number, (name, params) in enumerate(sets.items()):
        for form, order in FILES.items():
            if form not in found.setdefault(name, {}):
                folder = work / str(number)
                found[name][form] = _shipped(Scratch(folder) if folder.exists() else create(folder), params, order)
                files.write_json(out, whole)
                log(f"{name}, {form}: {found[name][form]}")
    return whole


def _short(params: Params, tiny: bool) -> Params:
    """Of the default graph the teacher and the student."""
    params |= {"method": {}, **dict.fromkeys(("baseline", "direct", "refinery", "born_again", "mutual"))}
    params["assistant"]["links"] = 0
    if tiny:
        params["teacher"]["recipe"]["epochs"] = params["student"]["recipe"]["epochs"] = params["labels"]["views"] = 1
    return params


def _digits(tiny: bool) -> Params:
    return _short(yaml.safe_load((PARAMS if tiny else ROOT / "params.yaml").read_text()), tiny)


def _fashion(root: Path, tiny: bool) -> Params:
    params = _short(yaml.safe_load(PARAMS.read_text()), tiny)
    params["data"] |= {"source": "fashion_mnist", "root": str(root), "per_class": 20 if tiny else 1200}
    params["data"] |= {"validation": 0.1, "test": 0.2}
    params["views"] = {"shift": 2, "flip": True}
    params["labels"]["views"] = 1 if tiny else 6
    recipe = {"optimizer": "adamw", "batch_size": 64, "lr": 0.003, "weight_decay": 0.01}
    params["teacher"] |= {"architecture": {"family": "residual", "depth": 8, "width": 16}}
    params["teacher"]["recipe"] = {**recipe, "epochs": 1 if tiny else 6}
    params["student"]["architecture"] = {"family": "separable", "widths": [16, 32, 64]}
    params["student"]["recipe"] = {**recipe, "epochs": 1 if tiny else 12}
    return params


def _photographs(setting: Setting, weights: Path, images: Path) -> Params:
    recipe = {"epochs": setting.probe, "lr": 0.002, "freeze": "embedding"}
    params = settings(setting, weights, images, 0, recipe)
    params["labels"]["views"] = setting.student
    params["baseline"] = None
    return params


def _shipped(repository: Scratch, params: Params, order: list[str]) -> dict[str, Any]:
    """What is to be said of the file at the end of that order."""
    own = {"seed": None, "order": order, "steps": {name: {} for name in order}}
    whole = {**params, "compress": own, "edges": {**params.get("edges", {}), "compress": "student"}}
    (repository.folder / "params.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    last = f"c{len(order)}"
    finish(repository, sys.executable, "-m", "dvc", "repro", f"compress@{last}")
    artifacts = repository.folder / "artifacts"
    metrics = files.read_json(repository.folder / "metrics" / "compress" / f"{last}.json")
    told, data = metrics["promises"], prepared.read(artifacts / "data")
    second_N = halves(artifacts / "data", data.validation).apart
    y_N = torch.from_numpy(data.validation.labels[second_N])
    own_NC, teacher_NC = (
        load_file(artifacts / node / "predictions" / "logits.safetensors")["validation"][second_N]
        for node in (f"compress/{last}", "teacher")
    )
    own_N, teacher_N = (logits_NC.argmax(1) == y_N for logits_NC in (own_NC, teacher_NC))
    sure_N = surest(own_NC, told["temperature"]).numpy()
    promises = {str(error): promise(sure_N, own_N.numpy(), error) for error in ERRORS}
    flips = Flips(len(y_N), int((teacher_N & ~own_N).sum()), int((own_N & ~teacher_N).sum()))
    return {
        "bytes": metrics["bytes"],
        "test": metrics["test"]["accuracy"],
        "temperature": told["temperature"],
        "calibration": told["calibration"],
        "answered": {error: found.answered / len(y_N) if found else None for error, found in promises.items()},
        "drop": flips.drop,
        "most": flips.most,
    }


def table(whole: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells, header first: ECE without and with the temperature, what may be answered, what may be lost."""
    header = ("images", "file", "test", "T", "ECE, half", "with T", "ECE, test", "with T")
    cells: list[tuple[str, ...]] = [
        (*header, *(f"answered, {100 * error:g} %" for error in ERRORS), "lost to the teacher")
    ]
    for name, forms in whole["sets"].items():
        for form, found in forms.items():
            errors = [
                f"{100 * found['calibration'][split][key]:.2f}"
                for split in ("validation", "test")
                for key in ("ece", "ece_with_temperature")
            ]
            shares = [found["answered"][str(error)] for error in ERRORS]
            answered = ["none" if share is None else f"{100 * share:.0f} %" for share in shares]
            lost = f"{100 * found['drop']:.1f}, at most {100 * found['most']:.1f}"
            count = found["calibration"]["validation"]["images"]
            first = (f"{name} ({count:,})", form, f"{100 * found['test']:.1f}", f"{found['temperature']:.2f}")
            cells.append((*first, *errors, *answered, lost))
    return cells
