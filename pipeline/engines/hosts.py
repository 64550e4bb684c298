"""What of a machine decides the bits of a result, and whether machines are alike enough to share one lineage."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from pipeline.base import cpu
from pipeline.base.errors import UserError
from pipeline.engines import gpus

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "onnx", "onnxruntime", "dvc", "timm")


@dataclass(frozen=True)
class Host:
    """One machine.

    Attributes:
        name: The machine's.
        versions: Of the system, of Python, and of what computes or records, by name.
        cpus: Settings of `base.cpu` that its CPU has, weakest first.
        cpu: All that libraries choose by, and what they were told already.
        gpus: Its GPUs, by model.
        driver: Version of the GPUs' driver.
    """

    name: str
    versions: dict[str, str]
    cpus: tuple[str, ...]
    cpu: str
    gpus: tuple[str, ...]
    driver: str


def this() -> Host:
    """This machine. Nothing of what computes is imported."""
    told = [f"{name}={os.environ[name]}" for name in cpu.VARIABLES if name in os.environ]
    return Host(
        name=platform.node(),
        versions={
            "the system": f"{platform.system()} {platform.machine()}",
            "Python": ".".join(platform.python_version_tuple()[:2]),
            **{name: _version(name) for name in PACKAGES},
        },
        cpus=tuple(cpu.known()),
        cpu=" ".join([cpu.described(), *told]),
        gpus=tuple(gpus.models()),
        driver=gpus.driver(),
    )


def check(driver: Host, workers: Sequence[Host], with_gpus: bool) -> None:
    """Refuse machines of which the results would depend on where a stage runs.

    Raises:
        UserError: They differ in the system, in a version, or, where stages use them, in their GPUs.
    """
    for each in workers:
        for name, ours in driver.versions.items():
            if (theirs := each.versions.get(name, "missing")) != ours:
                raise UserError(
                    f"{name} is {theirs} on {each.name} and {ours} on {driver.name}: all machines need the same"
                )
    holders = [each for each in workers if each.gpus] if with_gpus else []
    for each in holders:
        for what, first, other in (
            ("the GPUs are", sorted({*holders[0].gpus}), sorted({*each.gpus})),
            ("the GPUs' driver is", [holders[0].driver], [each.driver]),
        ):
            if first != other or len(other) > 1:
                raise UserError(
                    f"{what} {', '.join(other)} on {each.name} and {', '.join(first)} on {holders[0].name}: the bits "
                    "would depend on where a stage runs; leave one kind out of the cluster, or give none to stages"
                )


def environment(hosts: Sequence[Host], asked: str | None) -> dict[str, str]:
    """What fixes the CPU's instructions for all: those that params.yaml names, else the most that all have.

    Nothing where all are alike: they choose alike.

    Raises:
        UserError: One does not have what params.yaml names, or there is nothing that all have.
    """
    if asked is None and len({each.cpu for each in hosts}) == 1:
        return {}
    common = [name for name in cpu.SETTINGS if all(name in each.cpus for each in hosts)]
    if not common:
        raise UserError(
            f"the CPUs of {hosts[0].name} and the other machines are unlike, and cannot be held to what all have: "
            "give the cluster machines that are alike, and leave machine.cpu null"
        )
    if asked is not None and asked not in common:
        lacking = ", ".join(each.name for each in hosts if asked not in each.cpus)
        raise UserError(
            f"params.yaml: machine.cpu is {asked}, which {lacking} does not have: use {common[-1]}, or null"
        )
    return cpu.environment(asked or common[-1])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
