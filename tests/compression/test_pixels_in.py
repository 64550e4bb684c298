"""The file that takes a decoded picture of any size, against the crop and the resize that `predict` makes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.compression.card import IMAGE, WITH_PIXELS, Card, read_card
from pipeline.compression.export_onnx import export
from pipeline.compression.onnx_file import add_probabilities, write_onnx
from pipeline.compression.pixels_in import write_with_pixels
from pipeline.compression.runtime import Runtime
from pipeline.config.input import Framing
from pipeline.data import prepared
from pipeline.data.decode import decode
from pipeline.data.framing import pixels
from pipeline.lineage.predictions import read_predictions
from pipeline.models.build import build
from tests.compression.chains import run, workshop
from tests.data.photos import PHOTOS, photos
from tests.training.runs import furnish, inside

SIZES = ((8, 8), (37, 101), (301, 7), (5, 6), (33, 32))  # odd and even differences, larger and smaller


def opened(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def bare(folder: Path, card: Card, opset: int = 21) -> onnxruntime.InferenceSession:
    """A file whose answer is what it is fed, with pixels in."""
    shape = ["batch", card.channels, card.size, card.size]
    fed, answer = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("pixels", "logits"))
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["logits"])], "bare", [fed], [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = helper.find_min_ir_version_for([*model.opset_import])
    write_onnx(model, folder / "model.onnx", card)
    write_with_pixels(folder / "model.onnx")
    return opened(folder / WITH_PIXELS)


def card_of(channels: int = 3, size: int = 8, framing: Framing | None = None, margin: float | None = None) -> Card:
    return Card(("a", "b", "c"), (0.5,) * channels, (0.25,) * channels, channels, size, framing, margin)


def seen(session: onnxruntime.InferenceSession, image_HWC: np.ndarray) -> np.ndarray:
    """The grey levels (C, S, S) that the network in the file is fed."""
    (fed_NCSS,) = session.run(["logits"], {IMAGE: image_HWC[None]})
    return 255 * np.asarray(fed_NCSS)[0].astype(np.float64)


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("margin", [None, 0.125])
@pytest.mark.parametrize("framing", [None, "crop", "squash", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_crops_and_resizes_as_predict_does(
    tmp_path: Path, channels: int, framing: Framing | None, margin: float | None, opset: int
) -> None:
    card = card_of(channels, 8, framing, margin)
    session = bare(tmp_path, card, opset)
    draw = np.random.default_rng(0)
    for height, width in SIZES:
        image_HWC = draw.integers(0, 256, (height, width, channels), np.uint8)
        picture = Image.fromarray(image_HWC if channels == 3 else image_HWC[..., 0])
        expected = pixels(picture, card.size, framing or "crop", margin or 0.0)
        found = seen(session, image_HWC)
        assert np.abs(found - expected.astype(np.float64)).max() < 2.01, (height, width)
        np.testing.assert_allclose(found, found.round(), atol=1e-4, err_msg="whole levels, as a decoder's")


def test_what_needs_no_resize_is_fed_as_it_is(tmp_path: Path) -> None:
    """Bit for bit what `Runtime` feeds, in one batch; which part of a picture that is long it takes."""
    session = bare(tmp_path, card_of())
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 13, 3), np.uint8)
    (found,) = session.run(["logits"], {IMAGE: images})
    middle = images[:, :, 2:10].transpose(0, 3, 1, 2).astype(np.float32) / 255
    np.testing.assert_array_equal(np.asarray(found), middle)


@pytest.mark.parametrize("temperature", [None, 2.0])
def test_answers_and_metadata_are_those_of_the_file_beside_it(tmp_path: Path, temperature: float | None) -> None:
    torch.manual_seed(0)
    card = card_of(framing="crop", margin=0.1)
    net = build({"family": "plain", "widths": [4]}, channels=3, size=8, classes=3).eval()
    export(net, tmp_path / "model.onnx", card)
    if temperature:
        card = replace(card, temperature=temperature)
        add_probabilities(tmp_path / "model.onnx", card)
    before = (tmp_path / "model.onnx").read_bytes()
    write_with_pixels(tmp_path / "model.onnx")
    session, runtime = opened(tmp_path / WITH_PIXELS), Runtime(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == before
    assert read_card(session.get_modelmeta().custom_metadata_map, WITH_PIXELS) == card
    (tmp_path / "bare").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (31, 20, 3), np.uint8)
    fed = seen(bare(tmp_path / "bare", card), image).round().astype(np.uint8)
    found = [np.asarray(each) for each in session.run(None, {IMAGE: image[None]})]
    np.testing.assert_allclose(found[0], runtime.logits(fed[None]), atol=1e-5)
    assert [each.name for each in session.get_outputs()] == ["logits", *(["probabilities"] if temperature else [])]
    if temperature:
        np.testing.assert_allclose(found[1], runtime.probabilities(fed[None]), atol=1e-5)
    again = (tmp_path / WITH_PIXELS).read_bytes()
    write_with_pixels(tmp_path / "model.onnx")
    assert (tmp_path / WITH_PIXELS).read_bytes() == again, "equal files give equal bytes"


def test_it_is_for_other_programs_and_says_so(tmp_path: Path) -> None:
    bare(tmp_path, card_of())
    with pytest.raises(UserError, match=r"model-pixels.onnx crops and resizes by itself.*name the model.onnx beside"):
        Runtime(tmp_path / WITH_PIXELS)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photographs here")
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.long), 12])
def test_photographs_differ_by_one_level_at_most(tmp_path: Path, every: int) -> None:
    card = card_of(size=224, framing="crop", margin=0.125)
    session = bare(tmp_path, card)
    files = [path for kind in ("JPEG", "PNG", "WebP", "TIFF") for path in photos(kind)][::every]
    assert len(files) > 250 / every
    for path in files:
        whole_CHW = decode(path, mode="RGB", size=None)
        expected = pixels(Image.fromarray(whole_CHW.transpose(1, 2, 0)), 224, "crop", 0.125)
        found = seen(session, np.ascontiguousarray(whole_CHW.transpose(1, 2, 0)))
        assert np.abs(found - expected.astype(np.float64)).max() < 1.01, path.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("pixels")
    with inside(made):
        furnish(made)
    with workshop(made):
        yield made


@pytest.mark.parametrize("form", [None, "int8", "float16", "int4_weights"])
def test_what_ships_has_it_beside(folder: Path, form: str | None) -> None:
    """Whatever form the numbers of a file have."""
    made = run(folder, [*([form] if form else []), "export"])[-1]
    session, images_NCHW = opened(made.folder / WITH_PIXELS), np.asarray(prepared.read(DATA).test.images)
    found, shares = map(np.asarray, session.run(None, {IMAGE: images_NCHW.transpose(0, 2, 3, 1)}))
    np.testing.assert_allclose(found, read_predictions(made)["test"].numpy(), atol=1e-4)
    np.testing.assert_allclose(shares, Runtime(made.weights).probabilities(images_NCHW), atol=1e-4)
    assert f"`{WITH_PIXELS}` beside it" in (made.folder / "MODEL_CARD.md").read_text()
