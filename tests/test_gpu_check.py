"""The check of a GPU runs whole on a CPU, in its small form; what it makes of what it finds is checked by hand."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.gpu import fast, launches, right, runner
from benchmarks.gpu.arms import training
from benchmarks.gpu.cifar import affordable, cropped
from benchmarks.gpu.finding import Check, Finding, bounded, equal, of_figure
from benchmarks.gpu.launches import Work, covered
from benchmarks.gpu.setting import GPU, Setting
from benchmarks.gpu.words import line, sentences
from benchmarks.measure import Figure
from pipeline.base.errors import UserError
from pipeline.data.rows import Rows
from pipeline.training.teacher import TeacherOutput
from tests import bare

PARTS = [name for group in runner.GROUPS.values() for name in group]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a whole small run, without what a bare machine lacks, left its files."""
    images, found = (tmp_path_factory.mktemp(name) for name in ("images", "found"))
    drawn = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (images / part / name).mkdir(parents=True)
            for number in range(8):
                image_HWC = drawn.integers(0, 256, (16, 16, 3), np.uint8)
                Image.fromarray(image_HWC).save(images / part / name / f"{number}.jpg")
    arguments = ["gpu", "--small", "--data", str(images), "--out", str(found / "gpu.json")]
    printed = bare.run(found, "benchmarks", *arguments)
    assert printed == (found / "gpu.txt").read_text()
    return found


@pytest.mark.long
def test_it_finds_all_right_on_a_cpu_and_leaves_two_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["gpu.json", "gpu.txt"]
    value = json.loads((folder / "gpu.json").read_text())
    assert value["finished"] and value["what does not work"][0] == "Nothing that ran is wrong."
    assert value["counts"]["wrong"] == 0 and value["counts"]["right"] >= 30
    assert {each["part"] for each in value["findings"]} == {*PARTS}
    assert value["machine"]["torch"] == torch.__version__
    for each in value["findings"]:
        assert each["value"] is not None or each["sentence"], each


@pytest.mark.long
def test_what_was_compared_was_not_nothing(folder: Path) -> None:
    found = {(each["part"], each["name"]): each for each in json.loads((folder / "gpu.json").read_text())["findings"]}
    assert found["gradients", "live dkd, bfloat16"]["value"] > 0
    assert found["repeats", "mutual sequential, float32, stopped"]["ok"]
    assert found["cifar", "CIFAR-10 (JPEG): prepared"]["sentence"] == "8 images to train with, 16 to test."
    assert found["saving", "training stands still for a save"]["value"] is not None
    assert found["stages", "method/dkd"]["ok"]


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put other parts in the place of the real ones."""

    def put(**parts: runner.Part) -> None:
        monkeypatch.setattr(runner, "GROUPS", {"right": parts})
        monkeypatch.setattr(runner, "NAMES", ("right", *parts))

    return put


def test_what_fails_is_a_sentence_and_the_rest_goes_on(tmp_path: Path, faked: Callable[..., None]) -> None:
    def work() -> Iterator[Finding]:
        yield Finding("first", 1.0)
        raise RuntimeError("no kernel\nimage")

    def some(setting: Setting) -> Iterator[Check]:
        yield Check("breaks", work)
        yield Check("goes on", lambda: [Finding("second", 2.0, ok=True)])

    def other(setting: Setting) -> Iterator[Check]:
        raise KeyError("mutual")
        yield

    faked(some=some, other=other, last=lambda setting: [Check("last", lambda: [bounded("third", 3.0, 4.0, "")])])
    out = tmp_path / "gpu.json"
    result = CliRunner().invoke(app, ["gpu", "--small", "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 1
    value = json.loads(out.read_text())
    assert [each["state"] for each in value["findings"]] == ["measured", "wrong", "right", "wrong", "right"]
    wrong = value["what does not work"][0]
    assert wrong.startswith("WRONG: some, breaks: It fails with RuntimeError (no kernel image) in ")
    assert "tests/test_gpu_check.py:" in wrong
    assert "KeyError ('mutual')" in value["what does not work"][1]
    assert wrong in result.output


def test_each_finding_is_written_at_once(tmp_path: Path, faked: Callable[..., None]) -> None:
    out = tmp_path / "gpu.json"

    def cut() -> Iterator[Finding]:
        yield Finding("first", 1.0)
        raise KeyboardInterrupt

    faked(some=lambda setting: [Check("cut", cut)])
    CliRunner().invoke(app, ["gpu", "--small", "--out", str(out)])
    value = json.loads(out.read_text())
    assert [each["name"] for each in value["findings"]] == ["first"] and not value["finished"]
    assert "first" in out.with_suffix(".txt").read_text()


def test_what_the_time_does_not_allow_is_marked_and_is_no_fault(
    tmp_path: Path, faked: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([1.0, -1.0, -1.0])
    monkeypatch.setattr(Setting, "left", lambda self: next(left))
    one = [Check(name, lambda: [Finding("ran", 1.0)]) for name in ("one", "two")]
    faked(some=lambda setting: one, other=lambda setting: one[:1])
    out = tmp_path / "gpu.json"
    result = CliRunner().invoke(app, ["gpu", "--small", "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    value = json.loads(out.read_text())
    assert [(each["name"], each["state"]) for each in value["findings"]] == [
        ("ran", "measured"), ("two", "not run"), ("one", "not run"),
    ]  # fmt: skip
    assert value["findings"][1]["sentence"] == runner.TIME_IS_UP
    assert value["what does not work"][1:] == ["Not run: 1 of some.", "Not run: 1 of other."]


def test_without_time_no_part_does_anything(tmp_path: Path) -> None:
    setting = Setting(tmp_path, is_small=True, deadline=0.0)
    found = [*runner.findings(runner.chosen(None), setting)]
    assert {each.state for each in found} == {"not run"} and {each.part for each in found} == {*PARTS}
    assert [*tmp_path.iterdir()] == []


def test_only_names_a_group_or_a_part() -> None:
    assert [*runner.chosen("right"), *runner.chosen("fast")] == [*runner.chosen(None)] == PARTS
    assert [*runner.chosen("waits")] == ["waits"]
    with pytest.raises(UserError, match=r"--only: .*'wait'.*waits"):
        runner.chosen("wait")


GRADIENT = {"a": torch.tensor([2.0, -8.0]), "b": torch.tensor([0.5])}
LOSSES = torch.tensor([[2.0, 5.0]])


@pytest.mark.parametrize(
    ("losses", "gradient", "value"),
    [
        (LOSSES, GRADIENT, 0.0),
        (torch.tensor([[2.2, 5.0]]), GRADIENT, 0.1),
        (LOSSES, {**GRADIENT, "b": torch.tensor([2.5])}, 0.25),
        (LOSSES, {**GRADIENT, "b": torch.tensor([torch.nan])}, None),
        (torch.tensor([[torch.nan, 5.0]]), GRADIENT, None),
        (LOSSES, {"a": GRADIENT["a"]}, None),
    ],
)
def test_near_is_a_share_of_the_largest(losses: torch.Tensor, gradient: dict[str, Any], value: float | None) -> None:
    found = right.near("x", (LOSSES, GRADIENT), (losses, gradient), 0.2)
    assert found.value == (value if value is None else pytest.approx(value))
    assert found.ok is (value is not None and value < 0.2)
    assert found.ok or "b" in found.sentence or "finite" in found.sentence


def test_first_steps_are_smooth_and_leave_torch_as_it_was(tmp_path: Path) -> None:
    before = F.relu, F.dropout
    setting = Setting(tmp_path, is_small=True)
    wide = {"family": "wide", "depth": 10, "widen": 1, "dropout": 0.5}
    one, two = (right.first_step(training(setting, setting.cpu(), network=wide)) for _ in range(2))
    assert right.near("x", one, two, 0.0).ok
    assert (F.relu, F.dropout) == before
    with right.smooth():
        assert F.relu(torch.tensor(-1.0)) < 0
        assert F.dropout(torch.ones(9), 0.9).sum() == 9


def test_equal_is_to_the_last_bit() -> None:
    one = {"a": torch.ones(2), "b": torch.zeros(2)}
    assert equal("x", one, {**one}, "Two").ok
    other = equal("x", one, {"a": torch.ones(2), "b": torch.tensor([0.0, 1e-30]), "c": torch.ones(1)}, "Two runs")
    assert (other.value, other.ok) == (2, False)
    assert other.sentence == "Two runs differ in 2 of 2 tensors, first in b."


def test_a_training_that_does_not_go_on_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that begins anew ends with the same bytes."""
    setting = Setting(tmp_path, is_small=True)
    monkeypatch.setattr(right, "stopped", lambda of, folder, steps: None)
    build: Any = lambda on: training(setting, on)  # noqa: E731
    twice, plain, gone_on = right._repeat(setting, "hard", build, "float32")
    assert twice.ok and plain.ok and gone_on.ok is False
    assert gone_on.sentence.startswith("It did not go on where it was stopped")


def test_spans_that_overlap_count_once() -> None:
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2), (3, 4)]) == 5


def event(name: str, start: float, end: float, device: str = "CUDA", **more: Any) -> SimpleNamespace:
    """As torch's profiler has them, in microseconds."""
    return SimpleNamespace(
        name=name, device_type=SimpleNamespace(name=device), time_range=SimpleNamespace(start=start, end=end), **more
    )


class Profile:
    """A profiler that sees these events."""

    seen: list[SimpleNamespace]

    def __init__(self, activities: Any) -> None:
        pass

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def events(self) -> list[SimpleNamespace]:
        return self.seen


def test_work_is_what_the_device_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(tmp_path, is_small=True)
    of = training(setting, setting.cpu())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(launches, "profile", Profile)
    Profile.seen = [
        event("gemm", 0, 10),
        event("add", 20, 30),
        event("Memcpy HtoD", 25, 40),
        event("step", 0, 100, is_user_annotation=True),
        event("aten::add", 0, 100, device="CPU"),
    ]
    assert launches.device_work(of, 2) == Work(launches=1.0, busy=15e-6)
    Profile.seen = []
    assert launches.device_work(of, 2) is None


def test_idle_is_what_the_kernels_leave_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(tmp_path, is_small=True)
    monkeypatch.setattr(Setting, "on_gpu", property(lambda self: True))
    monkeypatch.setattr(Setting, "goal", lambda self, goal: goal)
    monkeypatch.setattr(fast, "interleaved", lambda arms, rounds: {"epoch": [0.2]})
    monkeypatch.setattr(fast, "device_work", lambda of, steps: Work(launches=300.0, busy=0.09))
    large, small = fast.cases(setting)[:2]
    rate, kernels, idle = fast._speed(setting, large, "float32")
    assert (rate.value, kernels.value) == (4 / 0.2, 300.0)
    assert (idle.value, idle.bound, idle.ok) == (pytest.approx(0.1), 0.03, False)
    *_, idle = fast._speed(setting, small, "float32")
    assert idle.ok is None
    monkeypatch.setattr(fast, "device_work", lambda of, steps: None)
    *_, unseen = fast._speed(setting, large, "float32")
    assert unseen.state == "not run" and "saw no kernel" in unseen.sentence


def test_waits_are_counted_a_step_and_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(tmp_path, is_small=True)
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    build: Any = lambda on: training(setting, on)  # noqa: E731
    (none,) = right._waits(setting, "hard", build)
    assert (none.value, none.ok) == (0, True)

    def waiting(on: Any) -> Any:
        of = training(setting, on)
        output = of.teacher.output

        def wait(v: int, rows: Rows, x_BCHW: torch.Tensor) -> TeacherOutput:
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("something else", stacklevel=1)
            return output(v, rows, x_BCHW)

        of.teacher.output = wait
        return of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (found,) = right._waits(setting, "hard", waiting)
    assert (found.value, found.ok) == (1, False)
    assert "tests/test_gpu_check.py:" in found.sentence
    assert modes == ["warn", "default"] * 2


def test_crops_are_cut_from_their_own_image() -> None:
    padded_NCHW = F.pad(torch.arange(1, 4).view(3, 1, 1, 1).expand(3, 2, 4, 4), (1, 1, 1, 1))
    cut_BCHW = cropped(padded_NCHW, torch.tensor([2, 0]), 4)
    assert cut_BCHW.shape == (2, 2, 4, 4) and cut_BCHW.dtype == torch.float32
    assert [sorted({*each.unique().tolist()} - {0.0}) for each in cut_BCHW] == [[3.0], [1.0]]
    whole = cropped(torch.arange(4).view(1, 1, 1, 4).expand(1, 1, 4, 4), torch.zeros(64, dtype=torch.long), 4)
    assert {tuple(each[0, 0].tolist()) for each in whole} == {(0.0, 1.0, 2.0, 3.0), (3.0, 2.0, 1.0, 0.0)}


@pytest.mark.parametrize(("left", "epochs"), [(1e6, 10), (100.0, 4), (0.0, 1)])
def test_two_trainings_fit_into_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: float, epochs: int
) -> None:
    monkeypatch.setattr(Setting, "left", lambda self: left)
    monkeypatch.setattr(Setting, "sizes", GPU)
    assert affordable(Setting(tmp_path), 10.0) == epochs


def test_a_line_and_a_sentence_say_what_was_found() -> None:
    missed = of_figure(Figure("timm ÷ ours", 4.0, 3.5, 4.5, goal=5.0, most=False, note="timm 1."))
    missed = Finding(**{**vars(missed), "part": "timm"})
    assert " ".join(line(missed).split()) == "wrong timm timm ÷ ours 4 ≥ 5 Quartiles 3.5 … 4.5. timm 1."
    assert sentences([missed]) == ["WRONG: timm, timm ÷ ours: 4 is below the bound of 5. Quartiles 3.5 … 4.5. timm 1."]
    assert sentences([bounded("x", 1.0, 1.0, "")]) == ["Nothing that ran is wrong."]
