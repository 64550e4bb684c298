"""The same bits twice on a GPU: which kernels, in which type; and what a saved training must find again. By fakes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.compression.factorise import factorise
from pipeline.models.build import build
from pipeline.training import device as device_module
from pipeline.training import exactness
from pipeline.training.device import Device, choose
from tests.training import runs
from tests.training.runs import METHODS, furnish, inside, machine

GPU = Device(torch.device("cuda"), torch.bfloat16)
GIB = 1 << 30
# What adds up on a GPU in the order in which its threads come.
DISORDERED = {
    "aten::_adaptive_avg_pool2d_backward",
    "aten::adaptive_max_pool2d_backward",
    "aten::bincount",
    "aten::cumsum",
    "aten::index_add",
    "aten::index_add_",
    "aten::_index_put_impl_",
    "aten::put_",
    "aten::grid_sampler_2d_backward",
    "aten::upsample_bilinear2d_backward",
    "aten::upsample_nearest2d_backward",
}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("exactness")):
        yield furnish(Path.cwd())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have a GPU, and another workspace of cuBLAS."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: None)
    for name, value in {
        "is_available": True,
        "device": nullcontext(),
        "device_count": 1,
        "is_bf16_supported": True,
        "get_device_capability": (9, 0),
        "get_device_name": "a card",
        "memory_reserved": 3 * GIB,
        "memory_allocated": GIB,
        "mem_get_info": (8 * GIB, 80 * GIB),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91000)


@pytest.mark.parametrize(
    ("precision", "dtype", "tf32"),
    [
        ("auto", torch.bfloat16, False),
        ("bfloat16", torch.bfloat16, False),
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
    ],
)
def test_a_gpu_computes_in_the_type_asked_for_and_in_one_order(
    gpu: None, precision: str, dtype: torch.dtype, tf32: bool
) -> None:
    device = choose(machine("auto"), precision)
    assert (device.where.type, device.dtype, device.tf32) == ("cuda", dtype, tf32)
    described = device.describe()
    assert described["precision"] == ("tf32" if tf32 else str(dtype).removeprefix("torch."))
    assert described["TF32 in convolutions"] is described["TF32 in products"] is tf32
    with torch.backends.cudnn.flags():  # as torch.export does, which cannot where two names of one switch were mixed
        pass
    assert described["deterministic cuDNN"] is True
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    cuda = torch.backends.cuda
    assert not (cuda.flash_sdp_enabled() or cuda.mem_efficient_sdp_enabled() or cuda.cudnn_sdp_enabled())
    assert cuda.math_sdp_enabled()


def test_tf32_is_refused_where_it_is_not(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *args: (7, 5))
    with pytest.raises(UserError, match=r"machine\.precision is tf32, which cuda does not have: use float32"):
        choose(machine("auto"), "tf32")
    with pytest.raises(UserError, match=r"machine\.precision is tf32, which cpu does not have"):
        choose(machine("cpu"), "tf32")


def test_a_cpu_leaves_torchs_switches_alone() -> None:
    choose(machine("cpu", 1), "auto")
    assert not torch.backends.cudnn.deterministic
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_state_names_what_decides_on_a_gpu_and_not_the_threads(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "_driver", lambda: "550.54.15")
    described = GPU.describe()
    assert {"CUDA", "cuDNN", "driver", "cuBLAS's workspace", "torch", "precision"} <= described.keys()
    assert (described["driver"], described["device"]) == ("550.54.15", "a card")
    assert "threads" not in described and "CPU capability" not in described


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\nGCC 12.3.0",
            "550.54.15",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57  Release Build", "575.57"),
        (None, "unknown"),
    ],
)
def test_the_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, version: str) -> None:
    path = tmp_path / "version"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(exactness, "DRIVER", path)
    assert exactness._driver() == version


@pytest.mark.parametrize("what", ["CPU capability", "oneDNN's limit"])
def test_a_state_of_other_cpu_kernels_is_not_used(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    runs.stopped_after(runs.training(specs["baseline"]), tmp_path / "state", 2)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX")
    if what == "oneDNN's limit":
        monkeypatch.undo()
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    logged = runs.run(runs.training(specs["baseline"]), tmp_path / "state")
    assert logged[0].startswith(f"saved progress is not used: {what} was ")


UNDER = """
import sys
from pathlib import Path
from pipeline.planning.specs.spec import read_spec
from pipeline.planning.specs.training import TrainSpec
from tests.training import runs
of, folder = runs.training(read_spec("baseline", TrainSpec)), Path(sys.argv[1])
if sys.argv[2:]:
    runs.stopped_after(of, folder, int(sys.argv[2]))
else:
    print(*runs.run(of, folder), runs.digest(of.model), sep="\\n")
"""


def under(capability: str, *arguments: object) -> list[str]:
    """Train the baseline in a process of that CPU capability: arguments are the state's folder, steps to stop after."""
    command = [sys.executable, "-c", UNDER, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(CODE), "ATEN_CPU_CAPABILITY": capability}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.long
@pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="the CPU has one capability")
def test_a_training_does_not_go_on_under_another_cpu_capability(specs: dict[str, Any], tmp_path: Path) -> None:
    for folder in ("same", "other"):
        (tmp_path / folder).mkdir()
        under("avx2", tmp_path / folder, 2)
    logged, whole = under("avx2", tmp_path / "same")
    assert logged == "going on at epoch 1, step 3"
    assert [whole] == under("avx2", tmp_path / "undisturbed")
    logged, whole = under("default", tmp_path / "other")
    assert logged == (
        "saved progress is not used: CPU capability was AVX2, is DEFAULT, and that decides the last bits of a result"
    )
    assert [whole] == under("default", tmp_path / "undisturbed by default")


def test_room_is_a_share_of_what_is_free_on_the_gpu(gpu: Any) -> None:
    """Torch holds 3 GiB and uses one of them: with the 8 that are free, 10."""
    assert GPU.room() == int(device_module.SHARE * 10 * GIB)
    assert runs.CPU.room() == device_module.HOST_BYTES


def operations(work: Any) -> set[str]:
    """Names of all that runs, forward and backward."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        work()
    return {event.name for event in seen.events() or ()}


OTHER_SIZES = {"stage1": "stage3", "stage2": "stage1"}
ARMS: list[tuple[str, dict[str, str] | None]] = [(name, None) for name in METHODS]
ARMS += [(name, OTHER_SIZES) for name in ("attention_transfer", "fitnet_joint", "fsp")]


@pytest.mark.parametrize(("name", "layers"), ARMS)
def test_no_term_adds_up_in_the_order_of_threads(
    specs: dict[str, Any], name: str, layers: dict[str, str] | None
) -> None:
    spec = specs[f"method/{name}"]
    objective = spec.training.objective
    if layers:
        objective = {key: term | ({"layers": layers} if "layers" in term else {}) for key, term in objective.items()}
    of = runs.training(spec, objective=objective, teaching="live", teacher_batch=32)
    ran = operations(lambda: next(of.epoch()))
    assert "aten::convolution_backward" in ran
    assert not ran & DISORDERED


def test_a_factorisation_adds_up_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its one running sum, which a GPU would add up in no fixed order."""
    where: list[str] = []
    cumsum = torch.Tensor.cumsum

    class Elsewhere(torch.Tensor):
        """A tensor that records when it comes to the host."""

        def cpu(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            where.append("cpu")
            return self.as_subclass(torch.Tensor)

    def watched(self: torch.Tensor, *args: Any) -> torch.Tensor:
        assert type(self) is torch.Tensor and where, "on the host"
        return cumsum(self, *args)

    square = torch.Tensor.square
    monkeypatch.setattr(torch.Tensor, "square", lambda self: square(self).as_subclass(Elsewhere))
    monkeypatch.setattr(torch.Tensor, "cumsum", watched)
    model = build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=3)
    factorise(model, channels=1, size=8, rank=1)
    assert where


def test_the_clock_waits_for_the_device(specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", done.append)
    now = device_module.time.perf_counter()
    assert 5 < GPU.seconds_since(now - 5) < 60 and done == [GPU.where]
    assert runs.CPU.seconds_since(now) >= 0 and len(done) == 1

    monkeypatch.setattr(Device, "seconds_since", lambda self, started: 7.0)
    of = runs.training(specs["baseline"])
    runs.run(of, tmp_path / "state")
    assert of.at.seconds == 7 * of.recipe.epochs
    assert of.rows()[0]["images_per_second"] == round(100 / 7, 1), "each image once"
