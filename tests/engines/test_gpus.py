"""Which GPU each place has. None is here: what `nvidia-smi -L` prints is written down."""

import os
import time
from pathlib import Path

import pytest

from pipeline.engines import gpus

LISTED = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000000)
"""
CUT = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000000)
  MIG 3g.20gb     Device  0: (UUID: MIG-33333333-aaaa-bbbb-cccc-000000000000)
  MIG 3g.20gb     Device  1: (UUID: MIG-44444444-aaaa-bbbb-cccc-000000000000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000000)
"""


def starts(names: list[str]) -> list[str]:
    return [name[:5] for name in names]


def test_a_list_that_is_given_is_respected() -> None:
    assert gpus.visible({gpus.VISIBLE: "3, 1"}) == ["3", "1"]
    assert gpus.visible({gpus.VISIBLE: "GPU-ab,GPU-cd"}) == ["GPU-ab", "GPU-cd"]
    assert gpus.visible({gpus.VISIBLE: ""}) == gpus.visible({gpus.VISIBLE: "-1"}) == []
    assert gpus.visible({gpus.VISIBLE: "0,-1,1"}) == ["0"], "CUDA ends the list there"


def test_what_the_driver_lists() -> None:
    assert starts(gpus.identifiers(LISTED)) == ["GPU-1", "GPU-2"]
    assert starts(gpus.identifiers(CUT)) == ["MIG-3", "MIG-4", "GPU-2"]
    assert gpus.identifiers("No devices found.\n") == []


@pytest.mark.parametrize(("status", "found"), [(0, 2), (9, 0)])
def test_without_a_list_the_driver_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, found: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\nexit {status}\n")
    tool.chmod(0o755)
    assert len(gpus.visible({})) == found
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert gpus.visible({}) == []


def test_each_place_has_one_of_its_own_as_far_as_they_go() -> None:
    assert gpus.environments(2, ["3", "1"]) == [{gpus.VISIBLE: "3"}, {gpus.VISIBLE: "1"}]
    assert [each[gpus.VISIBLE] for each in gpus.environments(5, ["3", "1"])] == ["3", "1", "3", "1", "3"]
    assert gpus.environments(1, ["3", "1"]) == [{gpus.VISIBLE: "3"}]
    assert gpus.environments(2, ["0"]) == gpus.environments(2, []) == [{}, {}]


def test_what_each_place_computes_on() -> None:
    assert gpus.of_places(3, "auto", ["3", "1"]) == gpus.of_places(3, "cuda", ["3", "1"]) == ["3", "1", "3"]
    assert gpus.of_places(2, "cuda:1", ["3", "1"]) == ["1", "1"]
    nothing: list[str | None] = [None, None]
    assert gpus.of_places(2, "cpu", ["3"]) == gpus.of_places(2, "auto", []) == nothing
    assert gpus.of_places(2, "mps", ["3"]) == gpus.of_places(2, "cuda:1", ["3"]) == nothing


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("echo 1000, 81559", (1000 << 20, 81559 << 20)),
        ("echo '[N/A], [N/A]'", None),
        ("echo 1000, 81559; exit 9", None),
        ("exec sleep 30", None),
        ("sleep 30", None),
        ("sleep 30 & exit 0", None),
    ],
    ids=["a GPU", "not told", "failed", "hangs", "starts what hangs", "leaves what hangs"],
)
def test_the_driver_is_asked_for_memory_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, found: tuple[int, int] | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(gpus, "PATIENCE", 0.5 if "sleep" in body else 10.0)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$4" = GPU-1 ] || exit 1\n{body}\n')
    tool.chmod(0o755)
    begun = time.monotonic()
    assert gpus.memory("GPU-1") == found
    assert time.monotonic() - begun < 10
    if "sleep" in body:
        assert gpus.visible({}) == []


@pytest.mark.parametrize(
    ("listed", "models"),
    [(LISTED, ["NVIDIA H100 80GB HBM3"] * 2), (CUT, ["3g.20gb", "3g.20gb", "NVIDIA A100-SXM4-40GB"])],
)
def test_what_the_gpus_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, models: list[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n[ $1 = -L ] && cat <<'END' || echo 550.54.15\n{listed}END\n")
    tool.chmod(0o755)
    assert gpus.models() == models
    assert gpus.driver() == "550.54.15"
