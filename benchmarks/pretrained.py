"""A pretrained network on photographs: a linear probe, the whole fine-tuned, and students with and without its labels.

The graph itself runs, in a scratch repository that is kept: what was killed goes on where it was. Images are the first
of each class of an image folder with `train` and `test`; split, crops, initial weights and order are of the seed.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.graph import finish
from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.evaluation.statistics import Paired, paired, summary
from tests.scratch import PARAMS, Scratch, create

NAME = "tf_efficientnet_lite0"
PROBE, TUNED, TAUGHT, HARD = "linear probe", "fine-tuned", "student, stored labels", "student, hard labels"
NODES = {TUNED: "teacher", TAUGHT: "student", HARD: "baseline"}


@dataclass(frozen=True)
class Setting:
    """Images a class, their edge in pixels, and epochs; equal for all seeds of a file."""

    train: int = 625  # of which a fifth validates
    test: int = 250
    size: int = 96
    probe: int = 5
    tuned: int = 3
    student: int = 12


TINY = Setting(10, 2, 32, 1, 1, 1)


def measure(
    out: Path, images: Path, weights: Path, work: Path, seeds: int, tiny: bool, log: Callable[[str], None]
) -> dict[str, Any]:
    """Run the seeds that `out` lacks, and write it anew after each; return what it holds.

    Args:
        images: An image folder with `train` and `test`.
        weights: ImageNet's weights of EfficientNet-Lite0 under timm's names.
        work: A folder for the images that are taken and the repository; kept.

    Raises:
        UserError: There are no such images or weights, or `out` is of another setting.
    """
    setting = TINY if tiny else Setting()
    whole = begun(out, "pretrained", setting, tiny, images, weights)
    reached = whole.setdefault("seeds", {})
    work = work.resolve()
    take(images, work / "images", setting)
    repository = Scratch(work / "repo") if (work / "repo").exists() else create(work / "repo")
    for seed in range(seeds):
        if str(seed) not in reached:
            reached[str(seed)] = found = _seed(repository, setting, weights.resolve(), work / "images", seed)
            files.write_json(out, whole)
            log(f"seed {seed}: " + ", ".join(f"{name} {100 * each['test']:.1f} %" for name, each in found.items()))
    return whole


def begun(out: Path, name: str, setting: Setting, tiny: bool, images: Path, weights: Path) -> dict[str, Any]:
    """What `out` holds already; else only the setting, which its figures belong to.

    Raises:
        UserError: There are no such images or weights, or `out` is of another setting.
    """
    for path in (images / "train", images / "test", weights):
        if not path.exists():
            raise UserError(
                f"{path} is missing: name CIFAR-10 as an image folder by --data and the weights by --weights"
            )
    asked: dict[str, Any] = {"benchmark": name, "tiny": tiny, "torch": torch.__version__, "setting": asdict(setting)}
    whole: dict[str, Any] = files.read_json(out) if out.exists() else asked
    if {key: whole.get(key) for key in asked} != asked:
        raise UserError(f"{out} is of another setting: name another file")
    return whole


def take(images: Path, folder: Path, setting: Setting) -> None:
    """Copy the first images of each class that the setting asks for, and those of the copy are left as they are."""
    for part, count in (("train", setting.train), ("test", setting.test)):
        for label in sorted((images / part).iterdir()):
            target = folder / part / label.name
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(label.iterdir())[:count]:
                if not (target / path.name).exists():
                    shutil.copyfile(path, target / path.name)


def _seed(repository: Scratch, setting: Setting, weights: Path, images: Path, seed: int) -> dict[str, Any]:
    """What each network reaches on test images, and what its training took."""
    found = {}
    for names, views, teacher in (
        ((PROBE,), 1, {"epochs": setting.probe, "lr": 0.002, "freeze": "embedding"}),  # whose labels nobody reads
        ((TUNED, TAUGHT, HARD), setting.student, {"epochs": setting.tuned, "lr": 0.0003, "head_lr": 0.002}),
    ):
        params = settings(setting, weights, images, seed, teacher)
        params["labels"]["views"] = views
        (repository.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        nodes = [NODES.get(name, "teacher") for name in names]
        finish(repository, sys.executable, "-m", "dvc", "repro", *nodes)
        for name, node in zip(names, nodes, strict=True):
            numbers = files.read_json(repository.folder / "metrics" / f"{node}.json")
            found[name] = {
                "test": numbers["test"]["accuracy"],
                "parameters": numbers["parameters"],
                "cost": numbers["cost"],
            }
    return found


def settings(setting: Setting, weights: Path, images: Path, seed: int, teacher: Mapping[str, Any]) -> dict[str, Any]:
    """Params of a graph of teacher, student and baseline on these images; `teacher` is what its recipe has beyond."""
    params = yaml.safe_load(PARAMS.read_text())
    fast = {"optimizer": "adamw", "batch_size": 64, "weight_decay": 0.01}
    student = {"family": "torchvision", "name": "mobilenet_v3_small", "pretrained": False}
    begins = {"file": str(weights), "sha256": files.sha256(weights), "head": "new"}
    params["seeds"] = {"data": seed, "views": seed, "train": seed}
    params["data"] |= {"source": "imagefolder", "root": str(images), "size": setting.size, "per_class": None}
    params["data"] |= {"validation": 0.2, "test": 0.2}
    params["views"] = {"shift": 0, "flip": True, "scale": 0.5}
    params["machine"] |= {"precision": "float32", "threads": None, "memory_format": "channels_last"}
    params["teacher"] = {
        "architecture": {"family": "timm", "name": NAME, "drop_path_rate": 0.0},
        "input": {"size": setting.size, "mean": [0.5] * 3, "std": [0.5] * 3},
        "initial": begins,
        "objective": {"cross_entropy": {"weight": 1.0}},
        "recipe": {**fast, **teacher},
    }
    params |= {"method": {}, **dict.fromkeys(("direct", "refinery", "born_again", "mutual", "compress"))}
    params["assistant"]["links"] = 0
    params["student"]["architecture"] = student
    params["student"]["recipe"] = {**fast, "epochs": setting.student, "lr": 0.002}
    return params


def table(whole: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells, header first: test accuracy and seconds of each network, and what stored labels gain over hard ones."""
    seeds = [*whole["seeds"].values()]
    cells: list[tuple[str, ...]] = [("network", "parameters", "test", "over hard labels", "seconds of training")]
    for name in (PROBE, TUNED, TAUGHT, HARD):
        reached = [100 * each[name]["test"] for each in seeds]
        seconds = summary([each[name]["cost"]["training_seconds"] for each in seeds]).mean
        gain = _words(paired(reached, [100 * each[HARD]["test"] for each in seeds])) if name == TAUGHT else ""
        cells.append(
            (name, f"{seeds[0][name]['parameters']:,}", f"{summary(reached).mean:.1f}", gain, f"{seconds:.0f}")
        )
    return cells


def _words(difference: Paired) -> str:
    interval = "[{:+.1f}, {:+.1f}]".format(*difference.interval) if difference.interval else "(one seed)"
    return f"{difference.mean:+.1f} {interval}"
