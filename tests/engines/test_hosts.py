"""Machines that may share a lineage, and those that are refused."""

from dataclasses import replace

import pytest

from pipeline.base import cpu
from pipeline.base.errors import UserError
from pipeline.engines import hosts
from pipeline.engines.hosts import Host

VERSIONS = {"Python": "3.12", "torch": "2.12.0", "timm": "missing"}
DRIVER = Host("laptop", VERSIONS, ("default", "avx2"), "intel avx2", (), "")
WORKER = replace(DRIVER, name="w1")
LARGE = replace(WORKER, name="w2", cpus=("default", "avx2", "avx512"), cpu="intel avx512")
H100 = replace(WORKER, gpus=("NVIDIA H100", "NVIDIA H100"), driver="550.1")


def test_this_machine_is_like_itself() -> None:
    this = hosts.this()
    hosts.check(this, [this], with_gpus=True)
    assert hosts.environment([this, this], None) == {}
    assert this.versions["torch"] != "missing" and this.versions["Python"]


@pytest.mark.parametrize(
    ("worker", "sentence"),
    [
        (replace(WORKER, versions={**VERSIONS, "torch": "2.11.0"}), "torch is 2.11.0 on w1 and 2.12.0 on laptop"),
        (replace(WORKER, versions={**VERSIONS, "timm": "1.0"}), "timm is 1.0 on w1 and missing on laptop"),
        (
            replace(WORKER, versions={"Python": "3.12", "timm": "missing"}),
            "torch is missing on w1 and 2.12.0 on laptop",
        ),
    ],
)
def test_other_versions_are_refused(worker: Host, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{sentence}: all machines need the same$"):
        hosts.check(DRIVER, [LARGE, worker], with_gpus=False)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (replace(H100, name="w2", gpus=("NVIDIA A100",)), "the GPUs are NVIDIA A100 on w2 and NVIDIA H100 on w1: "),
        (replace(H100, name="w2", driver="560"), "the GPUs' driver is 560 on w2 and 550.1 on w1: "),
        (replace(H100, name="w2", gpus=("NVIDIA A100", "NVIDIA H100")), "the GPUs are NVIDIA A100, NVIDIA H100 on w2"),
    ],
)
def test_unlike_gpus_are_refused_where_stages_take_them(other: Host, sentence: str) -> None:
    hosts.check(DRIVER, [H100, WORKER, replace(H100, name="w3")], with_gpus=True)
    hosts.check(DRIVER, [H100, other], with_gpus=False)
    with pytest.raises(UserError, match=f"^{sentence}"):
        hosts.check(DRIVER, [H100, other], with_gpus=True)


def test_unlike_cpus_are_held_to_what_all_have() -> None:
    assert hosts.environment([DRIVER, WORKER], None) == {}
    assert hosts.environment([DRIVER, LARGE], None) == cpu.environment("avx2")
    told = replace(WORKER, cpu="intel avx2 ATEN_CPU_CAPABILITY=default")
    assert hosts.environment([DRIVER, told], None) == cpu.environment("avx2"), "one has been told something else"
    assert hosts.environment([DRIVER, WORKER], "default") == cpu.environment("default")
    with pytest.raises(
        UserError, match=r"^params.yaml: machine.cpu is avx512, which laptop does not have: use avx2, or"
    ):
        hosts.environment([DRIVER, LARGE], "avx512")
    with pytest.raises(UserError, match=r"^the CPUs of laptop and the other machines are unlike"):
        hosts.environment([DRIVER, replace(WORKER, cpus=(), cpu="arm")], None)
