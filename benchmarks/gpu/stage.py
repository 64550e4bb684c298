"""Whole stages as `dvc repro` runs them, without DVC: planned, trained, exported, read by the next one."""

import io
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from functools import partial
from typing import Any

from benchmarks.gpu.finding import Check, Finding
from benchmarks.gpu.setting import Setting
from pipeline.base.paths import CODE, DATA, PLAN
from pipeline.config import params
from pipeline.config.yaml import dump, read_yaml
from pipeline.data.prepare import prepare
from pipeline.dvc.training_state import VARIABLE
from pipeline.lineage import node
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.spec import read_spec, write_specs
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.learn import learn

NODES = ("teacher", "direct", "method/dkd", "method/hint", "method/fitnet", "method/fsp", "mutual")
SMALL_NODES = ("teacher", "method/dkd")


def stages(setting: Setting) -> Iterator[Check]:
    """Digits, two epochs, the type of computing that `auto` chooses."""
    yield Check("plan and data", partial(_prepare, setting))
    for name in SMALL_NODES if setting.is_small else NODES:
        yield Check(name, partial(_learn, setting, name))


def _prepare(setting: Setting) -> Iterator[Finding]:
    whole: dict[str, Any] = read_yaml(CODE / "params.yaml")
    for section in (*whole.values(), *whole["method"].values()):
        if isinstance(section, dict) and "recipe" in section:
            section["recipe"].pop("epochs", None)
    whole["data"]["per_class"] = 10
    whole["labels"]["views"] = whole["training"]["epochs"] = 2
    whole["method"]["fitnet"]["recipe"] = {"epochs": 4}  # with the hint's
    whole["machine"] |= {"device": "auto", "precision": "auto", "threads": 1}
    with _inside(setting):
        path = setting.folder / "repository" / "params.yaml"
        path.write_text(dump(whole))
        read = params.read(path)
        write_specs(build(read, graph.read(CODE / "dvc.yaml")), PLAN)
        DATA.parent.mkdir(parents=True, exist_ok=True)
        header = prepare(read.data, path.parent, 0, DATA)
    yield Finding("plan and data", header["counts"]["train"], " images")


def _learn(setting: Setting, name: str) -> Iterator[Finding]:
    with _inside(setting):
        learn(read_spec(name, TrainSpec))
        numbers = node.read_numbers(node.read(name).source)
    accuracy = numbers.get("validation", {}).get("accuracy")
    sentence = "It gives no answers." if accuracy is None else f"Validation accuracy {100 * accuracy:.1f} %."
    yield Finding(name, numbers["cost"]["training_seconds"], " s", ok=True, sentence=sentence)


@contextmanager
def _inside(setting: Setting) -> Iterator[None]:
    """Work in a folder of its own, training state included, and keep what is printed out of the table."""
    folder = setting.folder / "repository"
    folder.mkdir(exist_ok=True)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder / "state")
    try:
        with chdir(folder), redirect_stdout(io.StringIO()):
            yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before
