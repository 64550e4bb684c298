"""What the driver reckons: which machine has room, which stages stay here."""

from pathlib import Path

import pytest

from pipeline.base import files
from pipeline.config.resources import Request, Resources
from pipeline.engines import elsewhere
from pipeline.engines.elsewhere import Refused, Sent, described, fits
from pipeline.engines.machines import Offer

SMALL, LARGE = Offer(2, 0, 8, {}), Offer(8, 1, 64, {"sees": "images"})


@pytest.mark.parametrize(
    ("requests", "fit"),
    [
        ([], True),
        ([Request(cpus=2)] * 5, True),
        ([Request(cpus=2)] * 6, False),
        ([Request(gpus=1)], True),
        ([Request(gpus=1)] * 2, False),
        ([Request(cpus=1), Request(cpus=8, gpus=1)], True),
        ([Request(cpus=3), Request(cpus=8)], False),
        ([Request(memory=60), Request(memory=8), Request(memory=4)], True),
        ([Request(memory=60), Request(memory=8), Request(memory=5)], False),
        ([Request(cpus=2, label="sees=images")] * 4, True),
        ([Request(cpus=2, label="sees=images")] * 5, False),
        ([Request(label="sees=other")], False),
    ],
)
def test_what_fits_at_once(requests: list[Request], fit: bool) -> None:
    assert fits(requests, [SMALL, LARGE]) == fit
    assert fits(requests[::-1], [LARGE, SMALL]) == fit
    assert fits(requests, []) == (not requests)


def test_what_a_stage_takes_in_words() -> None:
    words = described(Request(cpus=0.5, gpus=1, memory=16, label="a=b"))
    assert words == "0.5 CPUs, 1 GPUs, 16 GiB, the label a=b"


def test_stages_that_read_files_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = {"file": "w.safetensors", "sha256": "0"}
    for name, spec in {
        "prepare": {},
        "teacher": {"training": {"initial_file": file}},
        "assistant/t1": {"training": {"members": [{"initial_file": file}]}},
        "assistant/t2": {"training": {"members": [{"file": "x"}]}},
    }.items():
        files.write_sealed(Path("plan") / f"{name}.json", spec)
    stages = ["prepare", "teacher", "assistant@t1", "assistant@t2", "no_spec"]
    assert elsewhere.near(stages, Resources(None, [])) == {"prepare", "teacher", "assistant@t1"}
    seen = Resources({"teacher": {"sees_files": True}, "prepare": {"label": "a=b"}}, ["teacher", "prepare"])
    assert elsewhere.near(stages, seen) == {"prepare", "assistant@t1"}


def test_what_never_went_out_has_failed() -> None:
    work = Sent("teacher", Refused("dvc.lock is damaged"), b"")
    assert work.has_ended and not work.unchanged
    work.close()
    assert (work.poll(), work.why) == (1, "dvc.lock is damaged")
