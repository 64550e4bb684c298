"""The model card: what the hub reads, what a person reads, and whether its code runs."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from PIL import ExifTags, Image
from scipy.stats import binomtest

from pipeline.commands.predict import Prediction, classify
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import export
from pipeline.compression.model_card import model_card
from pipeline.compression.onnx_file import add_probabilities
from pipeline.compression.runtime import Runtime
from pipeline.console.text import visible
from pipeline.data.formats import FORMATS, SUFFIXES
from pipeline.models.build import build
from tests.console.hostile import HOSTILE, check
from tests.data.folders import HEIF
from tests.data.profiles import gray, rgb

CARD = Card(classes=("cat", "dog", "ball"), mean=(0.5,), std=(0.25,), channels=1, size=8)
SCORES = {"accuracy": 0.875, "nll": 0.41, "ece": 0.03, "brier": 0.2}
METRICS: dict[str, Any] = {
    "validation": SCORES,
    "test": SCORES | {"accuracy": 0.8},
    "parameters": 5432,
    "flops": 1_000_000,
    "bytes": 21_000,
    "teacher": {"agreement": 0.9},
    "cost": {"latency": {"batch_1": {"ms": 0.02, "teacher_ms": 0.4, "ratio": 20.0}}},
}
TOLD: dict[str, Any] = {
    "name": "compress/c5",
    "source": "cifar10",
    "counts": {"train": 300, "validation": 80, "test": 1200},
    "chain": [("teacher", 0.93), ("compress/c5", 0.875)],
    "lineage": [{"teacher": "compress/c4", "read": "weights", "hash": "0123456789abcdef" * 4}],
    "metrics": METRICS,
    "seeds": {"data": 0, "views": 1, "train": 2},
    "runtime": "1.18",
}


def told(card: Card = CARD, **changes: Any) -> str:
    """The card of what is told above, with changes."""
    return model_card(card, **{**TOLD, **changes})


def front(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_hub_finds_what_it_looks_for() -> None:
    text = told(license="mit")
    found = front(text)
    assert "&id" not in text  # YAML's way to write a thing once, which not every reader follows
    assert found["license"] == "mit"
    assert found["pipeline_tag"] == "image-classification"
    assert found["datasets"] == ["uoft-cs/cifar10"]
    (index,) = found["model-index"]
    assert index["name"] == "compress/c5"
    assert {each["dataset"]["type"] for each in index["results"]} == {"uoft-cs/cifar10"}
    values = {each["dataset"]["split"]: each["metrics"][0]["value"] for each in index["results"]}
    assert values == {"validation": 0.875, "test": 0.8}


def test_what_is_in_no_split_is_listed() -> None:
    assert "In none of these" not in told()
    text = told(left_out=["left out 2 (no image): a/x.txt, b/*y*.txt", "unreadable: left out 1 (damaged): c.png"])
    assert "In none of these:\n\n- left out 2 (no image): a/x.txt, b/\\*y\\*.txt\n- unreadable: left out 1" in text


def test_own_images_and_no_licence_are_left_open() -> None:
    found = front(told(source="my: images"))
    assert "datasets" not in found
    assert "license" not in found
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == "my: images"


def test_a_person_finds_scores_by_split_seeds_lineage_and_data() -> None:
    text = told()
    assert "| score | validation (80 images) | test (1,200 images) |" in text
    assert "| accuracy | 0.8750 | 0.8000 |" in text
    ends = binomtest(960, 1200).proportion_ci(method="wilson")
    assert f"| accuracy of other images of this kind, 95 % |  | {ends.low:.4f} to {ends.high:.4f} |" in text
    assert "seeds data 0, views 1, train 2" in text
    assert "| teacher | 0.9300 |" in text
    assert "| compress/c4 | weights | 0123456789ab |" in text
    assert "| milliseconds, batch of 1 | 0.020 (the teacher: 0.400) |" in text
    assert "8 by 8 pixels, grey; 300 for train, 80 for validation, 1,200 for test." in text
    assert "With onnxruntime 1.18 or newer alone." in text
    for title in ("Intended use", "How to run", "Metrics", "Lineage", "Data"):
        assert f"\n## {title}\n" in text
    assert text == told()


def test_what_was_not_measured_is_left_out() -> None:
    text = told(metrics={"test": SCORES})
    assert "| score | test (1,200 images) |" in text
    assert "milliseconds" not in text
    assert "parameters" not in text.split("## Metrics")[1].split("## Lineage")[0]


def test_names_of_strangers_are_text() -> None:
    classes = ("a|b", "<script>x</script>", "[a](b)", "two\nlines", " ", "`", *(f"c{n}" for n in range(60)))
    text = told(Card(classes=classes, mean=(0.5,), std=(0.25,), channels=1, size=8))
    assert r'`a|b`, `<script>x</script>`, `[a](b)`, `two\nlines`, `" "`, `` ` ``, c0, ' in text
    assert "and 16 more" in text
    assert "c59" not in text


def test_what_is_promised_stands_there() -> None:
    each = {"images": 400, "ece": 0.0711, "ece_with_temperature": 0.0123}
    told_of = {
        "temperature": 1.625,
        "fitted_on": 401,
        "calibration": {"validation": each, "test": each | {"images": 900, "ece": 0.0822}},
        "abstain": {
            "error": 0.02,
            "threshold": 0.834,
            "validation": {"answered": 300, "wrong": 1, "share": 0.75},
            "test": {"answered": 700, "wrong": 9, "share": 0.778},
        },
        "gate": {"max_drop": 0.01, "images": 400, "lost": 2, "won": 1, "most": 0.0098, "test_drop": 0.003},
    }
    text = told(metrics=METRICS | {"promises": told_of})
    assert "logits / 1.625); the temperature is fitted on 401 images of validation" in text
    assert (
        "0.0711 without it and 0.0123 with it on the 400 others; 0.0822 without it and 0.0123 with it on test" in text
    )
    assert (
        "its probability is 0.834 or more. Of other images of this kind, at most 2 % of these answers are wrong" in text
    )
    assert (
        "of 300 such images of validation, 75.0 %, 1 were wrong. On test 77.8 % are answered, 9 of 700 wrongly" in text
    )
    assert "It loses at most 0.98 points of accuracy to the teacher" in text and "1 were allowed" in text
    assert "On test it loses 0.30 points." in text
    assert "promise" not in told() and "softmax" not in told()


def test_no_hostile_name_is_more_than_text() -> None:
    lineage = [{"teacher": HOSTILE, "read": HOSTILE, "hash": HOSTILE}]
    card = Card(classes=(HOSTILE, "", "cat"), mean=(0.5,), std=(0.25,), channels=1, size=8)
    text = told(card, name=HOSTILE, source=HOSTILE, chain=[(HOSTILE, 0.5)], lineage=lineage, license=HOSTILE)
    check(text)
    assert front(text)["model-index"][0]["name"] == visible(HOSTILE)
    tables = [line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("| ")]
    assert {*tables} <= {3, 4}, "a name makes no cell"
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text.split("---\n", 2)[2])
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", outside), "a name makes no link"
    assert '`""`, cat' in text


@pytest.mark.long
@pytest.mark.parametrize(
    ("channels", "more"),
    [(1, {}), (3, {"temperature": 0.5}), (1, {"temperature": 2.0, "error": 0.1, "threshold": 0.9})],
)
def test_the_code_on_the_card_answers_as_the_pipeline_does(
    channels: int,
    more: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = Card(CARD.classes, (0.5,) * channels, (0.25,) * channels, channels, 8, **more)
    net = build({"family": "plain", "widths": [4, 6]}, channels=channels, size=8, classes=3).eval()
    monkeypatch.chdir(tmp_path)
    export(net, Path("model.onnx"), replace(card, temperature=None))
    if card.temperature:
        add_probabilities(Path("model.onnx"), card)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    Image.fromarray(pixels).save("image.png")
    (code,) = re.findall(r"```python\n(.*?)```", told(card), re.DOTALL)
    exec(code, {})
    (expected,) = classify(Runtime(Path("model.onnx")), [Path("image.png")])
    assert isinstance(expected, Prediction)
    name, *rest = capsys.readouterr().out.split()
    assert name == expected.name
    assert [float(each) for each in rest[:1]] == pytest.approx([expected.probability] * bool(more), abs=1e-6)
    assert rest[1:] == ["unsure"] * (expected.unsure is True) == ["unsure"] * ("threshold" in more)


def kinds(folder: Path) -> list[Path]:
    """A file of each kind that is read: formats, modes, transparency, and the camera's eight orientations."""
    draw = np.random.default_rng(1)
    colour = Image.fromarray(draw.integers(0, 256, (20, 31, 3), np.uint8))
    alpha = Image.fromarray(draw.integers(0, 256, (20, 31), np.uint8))
    clear = colour.copy()
    clear.putalpha(alpha)
    grey_clear = colour.convert("L")
    grey_clear.putalpha(alpha)
    deep = Image.fromarray(draw.integers(0, 1 << 16, (20, 31)).astype(np.uint16))
    suffixes = [suffix for suffix in SUFFIXES if HEIF or suffix not in FORMATS["HEIF"]]
    pictures = {
        **{f"colour{suffix}": colour for suffix in suffixes},
        **{f"grey{suffix}": colour.convert("L") for suffix in suffixes},
        "clear.png": clear,
        "clear.webp": clear,
        "grey_clear.png": grey_clear,
        "palette.png": colour.convert("P"),
        "one_bit.png": colour.convert("1"),
        "deep.png": deep,
        "twelve_bits.tif": deep.point(lambda value: value / 16),
        "floats.tif": deep.convert("F"),
        "large.jpg": colour.resize((310, 200)),
        "large_grey.jpg": colour.resize((310, 200)).convert("L"),
        "wide.png": colour.crop((0, 0, 31, 9)),
        "print.jpg": colour.convert("CMYK"),
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    wide = rgb(np.array([[0.58, 0.19, 0.19], [0.3, 0.63, 0.08], [0.03, 0.07, 0.99]]), 2.2)
    for name, picture in (("profile.jpg", colour), ("profile.png", clear), ("profile.webp", colour)):
        picture.save(folder / name, icc_profile=wide)
    colour.convert("L").save(folder / "profile_grey.png", icc_profile=gray(1.8))
    colour.convert("P").save(folder / "clear_palette.png", transparency=7)
    colour.convert("P").save(folder / "clear_palette.gif", transparency=7)
    colour.save(folder / "keyed.png", transparency=colour.getpixel((0, 0)))
    for turned in range(1, 9):
        tags = Image.Exif()
        tags[ExifTags.Base.Orientation] = turned
        colour.save(folder / f"turned{turned}.jpg", exif=tags)
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    ("channels", "more"),
    [
        (1, {}),
        (3, {"background": (255, 255, 255)}),
        (3, {"background": (200, 30, 40), "framing": "crop", "margin": 0.3}),
        (3, {"framing": "squash", "margin": 0.0}),
        (3, {"framing": "pad", "margin": 0.2, "background": (255, 255, 255)}),
        (1, {"framing": "pad", "margin": 0.0}),
    ],
    ids=str,
)
def test_the_code_on_the_card_shows_the_network_the_pixels_that_predict_does(
    channels: int, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(CARD.classes, (0.5,) * channels, (0.25,) * channels, channels, 8, **more)
    seen: list[np.ndarray] = []

    class Stub:
        """A session, and a runtime, that only note what they are shown."""

        images_a_pass = 1

        def passes_at_once(self, images: int, most: int) -> int:
            return images

        def __init__(self, *_: Any) -> None:
            self.card = card

        def get_modelmeta(self) -> Any:
            return SimpleNamespace(custom_metadata_map=card.properties())

        def run(self, _: Any, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.append(given["pixels"])
            return [np.zeros((1, 3), np.float32)]

        def probabilities(self, images_NCHW: np.ndarray, **_: Any) -> np.ndarray:
            seen.append(images_NCHW.astype(np.float32) / 255)
            return np.full((len(images_NCHW), 3), 1 / 3)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Stub)
    (code,) = re.findall(r"```python\n(.*?)```", told(card), re.DOTALL)
    runtime: Any = Stub()
    found = kinds(tmp_path)
    assert len(found) == 2 * sum(HEIF or suffix not in FORMATS["HEIF"] for suffix in SUFFIXES) + 12 + 7 + 8
    for path in found:
        seen.clear()
        here = code.replace('"image.png"', repr(str(path)))
        if path.suffix in FORMATS["HEIF"]:  # as the comment there says
            here = f"import pillow_heif\npillow_heif.register_heif_opener(thumbnails=False)\n{here}"
            here = here.replace('"AVIF"]', '"AVIF", "HEIF"]')
        exec(here, {})
        assert isinstance(next(classify(runtime, [path])), Prediction), path
        np.testing.assert_array_equal(seen[0], seen[1], err_msg=path.name)
