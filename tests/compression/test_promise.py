"""What a file that ships promises: on which images it rests, what it says, and when it ships nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.compression import promise
from pipeline.compression.onnx_file import add_probabilities, read_onnx
from pipeline.compression.promise import Demand, promised
from pipeline.compression.runtime import Runtime
from pipeline.data import prepared
from pipeline.data.halves import Halves
from pipeline.evaluation.metrics import ece
from pipeline.evaluation.temperature import fit
from pipeline.lineage import node
from pipeline.lineage.node import read_numbers
from pipeline.lineage.predictions import read_predictions
from tests.compression.chains import run, workshop
from tests.compression.ships import CARD, convolution, images
from tests.training.runs import furnish, inside

WHERE = "compress.steps.export"
COUNT, CLASSES = 4000, 5


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of validation, the even rows are the first half."""
    rows = np.arange(COUNT)
    monkeypatch.setattr(promise, "halves", lambda folder, split: Halves(rows[::2], rows[1::2], rows[1::2]))


def drawn(seed: int, scale: float, heat: float = 3.0) -> tuple[Tensor, Tensor]:
    """Logits that are `heat` times too large, and labels drawn by what they should be."""
    generator = np.random.default_rng(seed)
    z_NC = scale * generator.normal(size=(COUNT, CLASSES))
    y_N = (z_NC + generator.gumbel(size=z_NC.shape)).argmax(1)
    return torch.from_numpy(heat * z_NC).float(), torch.from_numpy(y_N)


def asked_of(
    own: dict[str, Tensor], y: dict[str, Tensor], teacher: dict[str, Tensor] | None = None, **asked: Any
) -> tuple[Any, dict[str, Any]]:
    data: Any = SimpleNamespace(**{split: SimpleNamespace(labels=y[split].numpy()) for split in y})
    return promised(Demand(WHERE, **asked), CARD, own, teacher or own, data)


def both(scale: float = 6.0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    splits = {split: drawn(seed, scale) for seed, split in enumerate(("validation", "test"))}
    return {name: each[0] for name, each in splits.items()}, {name: each[1] for name, each in splits.items()}


@pytest.mark.usefixtures("cut")
def test_the_temperature_is_of_the_first_half_and_what_it_does_is_of_the_second() -> None:
    own, y = both()
    card, told = asked_of(own, y)
    degree = np.float32(fit(own["validation"][::2], y["validation"][::2]))
    assert card == replace(CARD, temperature=float(degree))
    assert told["temperature"] == degree and told["fitted_on"] == COUNT // 2
    half = told["calibration"]["validation"]
    assert half["images"] == COUNT // 2
    assert half["ece"] == ece(own["validation"][1::2], y["validation"][1::2])
    assert half["ece_with_temperature"] < 0.6 * half["ece"]
    assert told["calibration"]["test"]["ece"] == ece(own["test"], y["test"])
    assert not {"abstain", "gate"} & {*told}


@pytest.mark.usefixtures("cut")
def test_what_is_answered_is_said_of_the_second_half_and_counted_on_test() -> None:
    own, y = both()
    card, told = asked_of(own, y, error=0.02)
    found = told["abstain"]
    assert (card.error, card.threshold) == (0.02, found["threshold"])
    sure_N = (own["test"].double() / card.temperature).softmax(1).max(1).values
    answered_N = sure_N >= found["threshold"]
    wrong_N = own["test"].argmax(1) != y["test"]
    assert found["test"]["answered"] == int(answered_N.sum())
    assert found["test"]["wrong"] == int((wrong_N & answered_N).sum()) < 0.02 * found["test"]["answered"]
    assert 0.4 < found["validation"]["share"] < 1 and found["validation"]["answered"] < COUNT // 2


@pytest.mark.usefixtures("cut")
def test_too_much_is_asked_of_what_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    own, y = both(0.5)
    sentence = r"compress\.steps\.export\.abstain\.error is 0\.01: of the 473 images of the second half of validation"
    with pytest.raises(UserError, match=sentence + r" that it is surest of \d+ are wrong, which is too many"):
        asked_of(own, y, error=0.01)
    few = np.arange(COUNT)
    monkeypatch.setattr(promise, "halves", lambda folder, split: Halves(few[200:], few[:200], few[:200]))
    sentence = r"error is 0\.02: that takes 236 images in .* at least, each of a group of its own, and there are 200: "
    with pytest.raises(UserError, match=sentence + r"validate with about 944 images"):
        asked_of(own, y, error=0.02)


@pytest.mark.usefixtures("cut")
def test_a_drop_that_is_proven_on_the_second_half_passes() -> None:
    own, y = both()
    teacher = {split: z_NC.clone() for split, z_NC in own.items()}
    for split in teacher:  # the teacher gets 10 images right that the file gets wrong: all in the second half
        wrong = np.flatnonzero((own[split].argmax(1) != y[split]).numpy())
        chosen = wrong[wrong % 2 == 1][:10]
        teacher[split][chosen] = 9.0 * torch.nn.functional.one_hot(y[split][chosen], CLASSES).float()
    _, told = asked_of(own, y, teacher, max_drop=0.02)
    gate = told["gate"]
    assert (gate["images"], gate["lost"], gate["won"]) == (COUNT // 2, 10, 0)
    assert 10 / (COUNT // 2) < gate["most"] < 0.02
    assert gate["test_drop"] == 10 / COUNT
    sentence = r"params\.yaml: compress\.steps\.export\.max_drop is 0\.005, and the file may lose up to 0\.8\d points"
    with pytest.raises(UserError, match=sentence):
        asked_of(own, y, teacher, max_drop=0.005)


def test_a_validation_of_one_group_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own, y = both()
    monkeypatch.setattr(promise, "halves", lambda folder, split: Halves(np.arange(COUNT), *[np.arange(0)] * 2))
    card, told = asked_of(own, y)
    assert card.temperature and [*told["calibration"]] == ["test"]
    with pytest.raises(UserError, match="nothing can be proven by images of one group"):
        asked_of(own, y, max_drop=0.5)
    with pytest.raises(UserError, match="nothing can be proven by images of one group"):
        asked_of(own, y, error=0.02)


def test_of_a_group_one_image_proves_something(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each image ten times would prove what it does not once."""
    own, y = both()
    rows = np.arange(COUNT)
    monkeypatch.setattr(promise, "halves", lambda folder, split: Halves(rows[:10], rows[10:], rows[10:300]))
    _, told = asked_of(own, y, max_drop=0.02, error=0.05)
    assert told["gate"]["images"] == 290 and told["abstain"]["validation"]["answered"] <= 290
    assert told["calibration"]["validation"]["images"] == COUNT - 10
    assert (
        "come in 290 groups or as copies: what is promised is proven with one image of each" in capsys.readouterr().out
    )


@pytest.mark.usefixtures("cut")
def test_a_gate_of_accuracy_says_so_where_another_metric_decides(capsys: pytest.CaptureFixture[str]) -> None:
    own, y = both()
    asked_of(own, y, max_drop=0.02, select="macro_f1")
    assert "max_drop is of accuracy, and select is macro_f1: compare that, too" in capsys.readouterr().out


def test_a_file_gives_probabilities_at_its_temperature(tmp_path: Path) -> None:
    import onnxruntime

    path = tmp_path / "model.onnx"
    convolution(path)
    before = Runtime(path)
    bare_NC = before.logits(images(9))
    np.testing.assert_allclose(
        before.probabilities(images(9)), torch.from_numpy(bare_NC).double().softmax(1), atol=1e-7
    )
    add_probabilities(path, replace(CARD, temperature=0.25))
    runtime = Runtime(path)
    np.testing.assert_array_equal(runtime.logits(images(9)), bare_NC)
    wanted_NC = (torch.from_numpy(bare_NC).double() / 0.25).softmax(1)
    np.testing.assert_allclose(runtime.probabilities(images(9)), wanted_NC, atol=1e-7)
    pixels = images(9).astype(np.float32) / 255
    answers = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels})
    logits_NC, given_NC = map(np.asarray, answers)
    np.testing.assert_array_equal(logits_NC, bare_NC)
    np.testing.assert_allclose(given_NC, wanted_NC, atol=1e-6)
    assert [each.type.tensor_type.shape.dim[0].dim_param for each in read_onnx(path)[0].graph.output] == ["batch"] * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("promise")
    with inside(made):
        furnish(made)
    with workshop(made):
        yield made


def test_the_stage_ships_what_it_promises_or_nothing(folder: Path) -> None:
    ask = {"steps": {"export": {"abstain": {"error": 0.6}, "max_drop": 0.3}}}
    (made,) = run(folder, ["export"], ask)
    runtime, told = Runtime(made.weights), read_numbers(made.name)["promises"]
    card = runtime.card
    assert (card.temperature, card.threshold) == (told["temperature"], told["abstain"]["threshold"])
    assert told["gate"]["max_drop"] == 0.3 and told["gate"]["lost"] == told["gate"]["won"] == 0
    data = prepared.read(DATA)
    sure_N = runtime.probabilities(np.asarray(data.test.images)).max(1)
    assert int((sure_N >= card.threshold).sum()) == told["abstain"]["test"]["answered"]
    logits_NC = read_predictions(made)["test"].numpy()
    np.testing.assert_array_equal(runtime.logits(np.asarray(data.test.images)), logits_NC)
    text = (made.folder / "MODEL_CARD.md").read_text()
    assert f"{told['temperature']:.4g}); the temperature is fitted on" in text
    before = node.read(made.name).hashes
    with pytest.raises(UserError, match=r"compress\.steps\.export\.max_drop is 0\.001, and the file may lose up to"):
        run(folder, ["export"], {"steps": {"export": {"max_drop": 0.001}}})
    assert node.read(made.name).hashes == before  # nothing half-written
