"""Any mode becomes grey or sRGB: profiles, CMYK, palettes, deep greys, transparency on a background, orientation.

Legend: C channels, H, W height and width in pixels.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from pipeline.data import colours
from pipeline.data.colours import WHITE, flat, plain, scaled
from pipeline.data.decode import decode
from tests.data.folders import NEEDS_HEIF
from tests.data.profiles import gray, rgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PRIMARIES = {  # xy of red, green, blue and white, of the standards
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)),
    "Display P3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.3290)),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290)),
}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def content(picture: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    """A file of it."""
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def read(picture: Image.Image, kind: str = "PNG", *, mode: str = "RGB", **settings: Any) -> np.ndarray:
    """What a file of it gives, (H, W, C)."""
    return decode(content(picture, kind, **settings), mode=mode, size=None).transpose(1, 2, 0)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"]
)
@pytest.mark.parametrize(("target", "channels"), [("RGB", 3), ("L", 1)])
def test_any_mode_becomes_the_one_asked_for(mode: str, target: str, channels: int) -> None:
    grey = Image.fromarray(np.full((4, 4), 255, dtype=np.uint8))
    if mode.startswith("I"):
        picture = Image.fromarray(np.full((4, 4), 65535, dtype=np.int32 if mode == "I" else np.uint16))
    elif mode == "F":
        picture = Image.fromarray(np.ones((4, 4), np.float32))
    else:
        picture = grey.convert("RGB").convert("P").convert("PA") if mode == "PA" else grey.convert("RGB").convert(mode)
    assert picture.mode == mode
    got = flat(plain(picture), mode=target)
    assert got.mode == target
    np.testing.assert_array_equal(np.asarray(got).reshape(4, 4, channels), 255)


def test_a_picture_that_is_as_it_should_be_is_not_copied() -> None:
    for mode in ("L", "RGB"):
        picture = Image.new(mode, (4, 4))
        assert flat(plain(picture), mode=mode) is picture


@pytest.mark.parametrize(
    ("bits", "lightest"),
    [(8, 0), (8, 1), (8, 255), (10, 256), (10, 1023), (12, 1024), (12, 4095), (14, 9999), (16, 16384), (16, 65535)],
)
def test_16_bits_are_scaled_by_what_they_hold(bits: int, lightest: int) -> None:
    values_HW = np.array([[0, lightest // 3, lightest // 2, lightest]])
    expected = [round(value * 255 / (2**bits - 1)) for value in values_HW[0].tolist()]
    for kind in (np.uint16, np.int32, ">u2"):
        picture = Image.fromarray(values_HW.astype(kind))
        assert np.asarray(scaled(picture)).tolist() == [expected]
    for kind in ("PNG", "TIFF"):
        assert read(Image.fromarray(values_HW.astype(np.uint16)), kind, mode="L")[0, :, 0].tolist() == expected


def test_greys_of_32_bits_and_below_0() -> None:
    picture = Image.fromarray(np.array([[-5, 0, 2**16, 2**31 - 1]], np.int32))
    assert np.asarray(scaled(picture)).tolist() == [[0, 0, 0, 127]]


def test_white_of_floats_is_1_or_what_is_lighter() -> None:
    def levels(*values: float) -> list[int]:
        return np.asarray(scaled(Image.fromarray(np.array([values], np.float32)))).tolist()[0]

    assert levels(0, 0.2, 1) == [0, 51, 255]
    assert levels(-1, 0.2, 0.4) == [0, 51, 102]
    assert levels(0, 50, 250) == [0, 51, 255]
    assert levels(float("nan"), float("inf"), -float("inf"), 1) == [0, 0, 0, 255]


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_a_profile_is_taken_to_srgb(name: str) -> None:
    """Against the matrices of the standards, in float64."""
    gamma = 563 / 256 if name == "Adobe RGB" else None
    values_HWC = noise(8, 8, 3) // 2 + 64  # inside of sRGB, where nothing is cut off
    linear = values_HWC / 255
    linear = linear**gamma if gamma else np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    linear = linear @ (np.linalg.inv(matrix("sRGB")) @ matrix(name)).T
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(0, None) ** (1 / 2.4) - 0.055) * 255
    profile = rgb(matrix(name), gamma)
    got = read(Image.fromarray(values_HWC), icc_profile=profile)
    assert abs(got - expected.clip(0, 255)).max() <= 2
    assert abs(got.astype(int) - values_HWC).max() > 8
    for kind in ("JPEG", "WEBP", "TIFF"):
        picture = Image.new("RGB", (16, 16), (90, 160, 80))
        assert abs(read(picture, kind).astype(int) - read(picture, kind, icc_profile=profile)).max() > 4, kind


def matrix(name: str) -> np.ndarray:
    """From linear red, green and blue of a standard to XYZ under its white, (3, 3)."""
    *primaries, white = ((x / y, 1, (1 - x - y) / y) for x, y in PRIMARIES[name])
    columns = np.array(primaries).T
    return columns * np.linalg.solve(columns, np.array(white))


def test_a_profile_of_srgb_leaves_every_byte() -> None:
    """Also one of another maker, by which some levels would move by one."""
    values_HWC = noise(64, 64, 3)
    nearly = rgb(matrix("sRGB") + np.diag([2e-4, 0, 0]), None)
    srgb = ImageCms.createProfile("sRGB")
    moved = ImageCms.buildTransform(io.BytesIO(nearly), srgb, "RGB", "RGB").apply(Image.fromarray(values_HWC))
    assert abs(np.asarray(moved).astype(int) - values_HWC).max() == 1
    for profile in (SRGB, rgb(matrix("sRGB"), None), nearly):
        np.testing.assert_array_equal(read(Image.fromarray(values_HWC), icc_profile=profile), values_HWC)


def test_a_grey_profile_is_obeyed() -> None:
    values_HW = np.arange(256, dtype=np.uint8).reshape(16, 16)
    got = read(Image.fromarray(values_HW), mode="L", icc_profile=gray(1.8))[..., 0]
    linear = (values_HW / 255) ** 1.8
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert abs(got - expected).max() <= 2


@pytest.mark.parametrize("profile", [b"no profile", SRGB[:200], b"", gray(1.0)])
def test_a_profile_that_is_damaged_or_of_other_colours_is_passed_over(profile: bytes) -> None:
    values_HWC = noise(8, 8, 3)
    np.testing.assert_array_equal(read(Image.fromarray(values_HWC), icc_profile=profile), values_HWC)


def test_a_profile_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    real = ImageCms.buildTransform
    monkeypatch.setattr(ImageCms, "buildTransform", lambda *a, **k: built.append(a) or real(*a, **k))
    colours._transform.cache_clear()
    for _ in range(3):
        read(Image.fromarray(noise(8, 8, 3)), icc_profile=rgb(matrix("Adobe RGB"), 2.2))
    assert len(built) == 1


def test_colours_that_printers_use_are_read() -> None:
    inks = Image.merge("CMYK", [Image.new("L", (16, 16), level) for level in (0, 255, 255, 0)])
    for kind in ("JPEG", "TIFF"):
        red, green, blue = read(inks, kind).mean((0, 1))
        assert red > 240 and max(green, blue) < 15
    srgb, of_lab = (ImageCms.createProfile(each) for each in ("sRGB", "LAB"))
    lab = ImageCms.buildTransform(srgb, of_lab, "RGB", "LAB").apply(Image.new("RGB", (4, 4), (200, 60, 30)))
    np.testing.assert_allclose(read(lab, "TIFF")[0, 0], (200, 60, 30), atol=4)


BACKGROUNDS = [WHITE, (0, 0, 0), (10, 200, 30)]


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_what_is_transparent_shows_the_background(background: tuple[int, int, int]) -> None:
    values_HWC = np.full((1, 3, 4), 120, dtype=np.uint8)
    values_HWC[0, :, 3] = 0, 128, 255
    for kind in ("PNG", "WEBP", "TIFF"):
        file = content(Image.fromarray(values_HWC), kind, **({"lossless": True} if kind == "WEBP" else {}))
        got = decode(file, mode="RGB", size=None, background=background)[:, 0].T
        assert got[0].tolist() == [*background]
        np.testing.assert_allclose(got[1], [(level + 120) / 2 for level in background], atol=1)
        assert got[2].tolist() == [120] * 3
    grey = decode(content(Image.fromarray(values_HWC)), mode="L", size=None, background=background)[0, 0]
    expected = Image.new("RGB", (1, 1), background).convert("L").getpixel((0, 0))
    assert [grey[0], grey[2]] == [expected, 120]


def test_it_is_white_unless_another_is_asked_for() -> None:
    assert read(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_clear_entry_of_a_palette_and_a_clear_colour(kind: str) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.putpixel((1, 0), 1)
    got = decode(content(palette, kind, transparency=0), mode="RGB", size=None, background=(1, 2, 3))
    assert got[:, 0].T.tolist() == [[1, 2, 3], [0, 0, 200]]
    if kind == "PNG":
        keyed = content(palette.convert("RGB"), transparency=(200, 0, 0))
        np.testing.assert_array_equal(decode(keyed, mode="RGB", size=None, background=(1, 2, 3)), got)


def test_a_profile_reaches_what_is_partly_transparent_and_not_the_background() -> None:
    values_HWC = np.full((1, 2, 4), 120, dtype=np.uint8)
    values_HWC[0, :, 3] = 0, 255
    got = decode(
        content(Image.fromarray(values_HWC), icc_profile=rgb(matrix("sRGB"), 1.0)),
        mode="RGB",
        size=None,
        background=(9, 99, 199),
    )
    assert got[:, 0, 0].tolist() == [9, 99, 199]
    np.testing.assert_allclose(got[:, 0, 1], 182, atol=2)  # of linear 120


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", pytest.param("HEIF", marks=NEEDS_HEIF)])
def test_the_orientation_tag_is_obeyed_in_every_format(kind: str, turned: int) -> None:
    values_HWC = np.full((64, 96, 3), 20, np.uint8)
    values_HWC[:32, :48] = 220, 30, 30
    values_HWC[:32, 48:] = 30, 220, 30
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = turned
    file = content(Image.fromarray(values_HWC), kind, exif=tags.tobytes())
    upright = {
        1: values_HWC,
        2: values_HWC[:, ::-1],
        3: values_HWC[::-1, ::-1],
        4: values_HWC[::-1],
        5: values_HWC.transpose(1, 0, 2),
        6: np.rot90(values_HWC, -1),
        7: values_HWC[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(values_HWC),
    }
    got = decode(file, mode="RGB", size=None)
    assert got.shape[1:] == upright[turned].shape[:2]
    corners = [got[:, row, column] for row in (8, -8) for column in (8, -8)]
    wanted = [upright[turned][row, column] for row in (8, -8) for column in (8, -8)]
    np.testing.assert_allclose(corners, wanted, atol=40)


def test_an_orientation_that_cannot_be_read_turns_nothing(tmp_path: Path) -> None:
    values_HW = noise(4, 6)
    assert read(Image.fromarray(values_HW), mode="L", exif=b"Exif\0\0no tags at all").shape == (4, 6, 1)
    file = content(Image.new("L", (6, 4), 90), "JPEG", exif=b"Exif\0\0no tags at all")
    np.testing.assert_allclose(decode(file, mode="L", size=None), 90, atol=2)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    first, *others = (Image.new("RGB", (16, 16), (level, level, level)) for level in (200, 100, 0))
    got = read(first, kind, save_all=True, append_images=others)
    assert got.shape == (16, 16, 3)
    np.testing.assert_allclose(got, 200, atol=4)
