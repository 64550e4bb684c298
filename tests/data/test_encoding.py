import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data.decode import NotDecoded, decode
from pipeline.data.decoders import decoders
from pipeline.data.encoding import encoded
from tests.data.pictures import file, photograph

ID = "a" * 64


def shown(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_what_is_small_enough_goes_in_untouched(form: str, suffix: str) -> None:
    content = file(photograph(0, (40, 30)), form)
    made = encoded(ID, content, 30)
    assert (made.content, made.suffix, made.width, made.height) == (content, suffix, 40, 30)


def test_width_and_height_are_those_that_the_camera_means() -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    made = encoded(ID, file(photograph(0, (40, 30)), exif=tags), 30)
    assert (made.width, made.height) == (30, 40)
    assert decode(made.content, mode="RGB", size=None).shape == (3, 40, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(400, 301), (301, 400), (31, 900)])
def test_what_is_larger_is_scaled_to_the_short_side_and_compressed(form: str, size: tuple[int, int]) -> None:
    picture = photograph(0, size)
    made = encoded(ID, file(picture, form), 30)
    stored = shown(made.content)
    assert (stored.format, made.suffix) == ("JPEG", "jpg")
    assert stored.size == (made.width, made.height)
    assert min(stored.size) == 30
    assert abs(stored.width / stored.height - size[0] / size[1]) / (size[0] / size[1]) < 0.03
    own = np.asarray(picture.resize(stored.size, Image.Resampling.BILINEAR), dtype=float)
    assert np.abs(np.asarray(stored, dtype=float) - own).mean() < 6


@pytest.mark.parametrize("form", ["BMP", "TIFF", "PPM", "GIF"])
def test_what_is_lossless_and_small_loses_nothing(form: str) -> None:
    picture = photograph(0, (40, 30))
    made = encoded(ID, content := file(picture, form), 30)
    assert made.suffix == "png" and made.content != content
    assert made.content[:8] == b"\x89PNG\r\n\x1a\n"
    own = np.asarray(shown(content).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(shown(made.content).convert("RGB")), own)


def test_a_grey_picture_stays_grey() -> None:
    made = encoded(ID, file(photograph(0, (400, 300), "L")), 30)
    assert shown(made.content).mode == "L"


def test_a_file_of_more_bytes_than_its_pixels_is_encoded_anew() -> None:
    content = file(photograph(0, (40, 30)), comment=b"x" * 5000)
    made = encoded(ID, content, 30)
    assert len(made.content) < 3600 < len(content)
    assert (made.width, made.height) == (40, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("size", [(40, 30), (400, 300)])
def test_a_damaged_file_gives_no_picture(form: str, size: tuple[int, int]) -> None:
    content = file(photograph(0, size), form)
    for damaged in (content[: len(content) // 2], content[: -len(content) // 8], b"", b"no image"):
        with pytest.raises(NotDecoded):
            encoded(ID, damaged, 30)


def test_equal_sources_give_equal_bytes() -> None:
    content = file(photograph(3, (400, 300)))
    assert encoded(ID, content, 30) == encoded(ID, content, 30)


def test_what_decodes_is_named_with_its_version() -> None:
    found = decoders()
    assert found["pillow"] == Image.__version__
    assert all(version and isinstance(version, str) for version in found.values())
