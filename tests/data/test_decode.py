"""Strangers' pictures: the decoders on the list and no other, a bound over all threads, and sizes that are named."""

import ast
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import AvifImagePlugin, EpsImagePlugin, Image

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data import decode as module
from pipeline.data.decode import NotDecoded, PixelBudget, decode, opened, upright
from pipeline.data.formats import FORMATS, is_heif
from pipeline.data.framing import framed, pixels
from pipeline.data.images import Decoded
from pipeline.data.prepare import prepare
from tests.data.folders import HEIF, NEEDS_HEIF, folder, picture
from tests.scratch import ROOT

FOLDER = Data(source="imagefolder", size=8)
Image.init()
SAME = {"MPO"}  # written by a name of its own, and read as JPEG
OTHERS = sorted({*Image.OPEN, *Image.SAVE} - {*FORMATS} - SAME)


def test_every_format_of_the_list_is_one_of_pillows() -> None:
    assert {*FORMATS} - {*Image.OPEN} == (set() if HEIF else {"HEIF"})
    assert len(OTHERS) > 25


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=NEEDS_HEIF if kind == "HEIF" else ()) for kind in (*FORMATS, *SAME)]
)
def test_every_format_of_the_list_is_read_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (6, 6), (90, 90, 90)).save(tmp_path / "x", kind)
    for content in (tmp_path / "x", (tmp_path / "x").read_bytes()):
        np.testing.assert_allclose(decode(content, mode="L", size=None), 90, atol=3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a format that Pillow will no longer write
@pytest.mark.parametrize("kind", OTHERS)
def test_no_other_decoder_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Neither by a file of its format nor by one that it takes for its own."""
    reached = []

    def decoder(*_: Any) -> Any:
        reached.append(kind)
        raise SyntaxError

    folder(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr(Image, "EXTENSION", {**Image.EXTENSION})  # SPIDER's writer makes all suffixes its own
    path = tmp_path / "a" / "000.png"
    path.write_bytes(b"neither this nor that")
    if kind in Image.SAVE:
        try:
            Image.new("RGB", (6, 6)).save(path, kind)
        except (OSError, ValueError, KeyError, AttributeError):  # some write one mode only, or need a library
            path.write_bytes(b"neither this nor that")
    if kind in Image.OPEN:
        monkeypatch.setitem(Image.OPEN, kind, (decoder, None))
    with pytest.raises(UserError, match=r"files under data.root .*: a/000.png \(its content is none of JPEG,"):
        prepare(FOLDER, tmp_path, 0, tmp_path / ".out")
    assert not reached


def test_an_eps_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Ghostscript at hand that would tell: Pillow itself starts it on the same file."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f'#!{shutil.which("sh")}\n: > "{tmp_path}/ran"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    path = tmp_path / "x.png"
    Image.new("RGB", (6, 6)).save(path, "EPS")
    with pytest.raises(NotDecoded, match="its content is none of JPEG"):
        decode(path, mode="RGB", size=8)
    assert not (tmp_path / "ran").exists()
    with Image.open(path) as opened, pytest.raises((OSError, subprocess.SubprocessError)):
        opened.load()
    assert (tmp_path / "ran").exists()


def test_no_other_place_opens_an_image() -> None:
    found = []
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        for each in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(each, ast.Call) and ast.unparse(each.func) in ("Image.open", "open_image", "PIL.Image.open"):
                found.append((path.relative_to(ROOT).as_posix(), {word.arg for word in each.keywords}))
    # `checker` is a program of its own, which ships: what it reads was written beside it.
    assert found == [("pipeline/compression/checker.py", {"formats"}), ("pipeline/data/decode.py", {"formats"})]


def test_a_picture_of_more_pixels_than_are_decoded_is_named_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, {"a": 3, "b": 3}, size=(40, 30))
    monkeypatch.setattr(module, "LARGEST", 1200)
    assert prepare(FOLDER, tmp_path, 0, tmp_path / ".out")["shapes"]["train"] == (2, 3, 8, 8)
    monkeypatch.setattr(module, "LARGEST", 1199)
    with pytest.raises(
        UserError, match=r"a/000.png \(it has 40x30 pixels, and 1,199 are the most that are decoded\); a/001.png"
    ):
        prepare(FOLDER, tmp_path, 0, tmp_path / ".out")


def tiff(path: Path, tile: int) -> None:
    """A TIFF of 8 x 8 grey pixels in one tile of `tile` x `tile`."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8, 325: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = 8 + 64 * 64
    head = struct.pack("<2sHI", b"II", 42, start)
    path.write_bytes(head + bytes(64 * 64) + struct.pack("<H", len(tags)) + entries + bytes(4))


def test_a_tile_larger_than_its_picture_counts(tmp_path: Path) -> None:
    tiff(tmp_path / "x.png", 64)
    assert decode(tmp_path / "x.png", mode="L", size=None).shape == (1, 8, 8)
    tiff(tmp_path / "x.png", 1 << 20)
    with pytest.raises(NotDecoded, match="a tile has 1048576x1048576 pixels"):
        decode(tmp_path / "x.png", mode="L", size=None)


def test_python_warns_of_no_size(tmp_path: Path) -> None:
    """Pillow does, in words of its own, from half of what is decoded on."""
    Image.new("1", (9500, 9500)).save(tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(tmp_path / "x.png", mode="L", size=4).shape == (1, 4, 4)


def test_threads_hold_no_more_pixels_than_the_budget_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=20)  # of four pictures two may be decoded at a time, and are

    def upright(opened: Image.Image, **_: Any) -> Image.Image:
        nonlocal held, most
        with lock:
            held += opened.width * opened.height
            most = max(most, held)
        both.wait()
        time.sleep(0.2)  # others that may decode have begun by then
        with lock:
            held -= opened.width * opened.height
        return Image.new("L", (2, 2))

    for number in range(4):
        picture(tmp_path / f"{number}.png", size=(10, 10))
    monkeypatch.setattr(module, "BUDGET", PixelBudget(299))
    monkeypatch.setattr(module, "upright", upright)
    images = Decoded((4, 1, 2, 2), lambda row: decode(tmp_path / f"{row}.png", mode="L", size=2))
    assert images[np.arange(4)].shape == (4, 1, 2, 2)
    assert most == 200


def test_what_was_held_is_given_back_whatever_happened() -> None:
    budget = PixelBudget(5)
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), budget.hold(5):
            raise ValueError("x")


def test_too_little_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pixels(*_: Any, **__: Any) -> np.ndarray:
        raise MemoryError

    folder(tmp_path, {"a": 1, "b": 1})
    monkeypatch.setattr(module, "pixels", pixels)
    with pytest.raises(MemoryError):
        prepare(FOLDER, tmp_path, 0, tmp_path / ".out")


def ftyp(*brands: bytes) -> bytes:
    """The first box of a file: its main brand, and those that it fits, too."""
    main, *others = brands
    return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + main + bytes(4) + b"".join(others)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ftyp(b"heic", b"mif1", b"heic"), True),
        (ftyp(b"mif1", b"MiHE", b"heix"), True),
        (ftyp(b"msf1", b"hevc"), True),
        (ftyp(b"heic"), True),
        (ftyp(b"avif", b"mif1", b"miaf"), False),
        (ftyp(b"mif1", b"avif"), False),
        (ftyp(b"mif1") + b"heic", False),  # of the box after it
        (ftyp(b"isom", b"mp42"), False),
        (b"", False),
        (b"heicheicheicheic", False),
    ],
)
def test_heif_is_told_by_its_brands(head: bytes, expected: bool) -> None:
    assert is_heif(head) is expected


def test_heic_without_what_reads_it_is_named_with_how_to_install_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jpg").write_bytes(ftyp(b"heic", b"mif1") + bytes(100))
    picture(tmp_path / "y.png")
    module.knows_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    try:
        with pytest.raises(NotDecoded, match=r"^it is HEIC, which needs pillow-heif: .*`pip install -e '.\[heic\]'`$"):
            decode(tmp_path / "x.jpg", mode="RGB", size=8)
        assert decode(tmp_path / "y.png", mode="RGB", size=8).shape == (3, 8, 8)
    finally:
        module.knows_heif.cache_clear()


def test_the_extra_that_the_sentence_names_is_one_of_ours() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(each.startswith("pillow-heif") for each in extras[module.EXTRA])


@NEEDS_HEIF
def test_the_small_picture_in_a_heic_is_not_taken_for_it(tmp_path: Path) -> None:
    """A thumbnail need not show the same, and is not what a resize of the picture gives."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.heic", thumbnails=[128])
    with opened(tmp_path / "x.heic") as found:
        assert upright(found, mode="RGB", shortest=16).size == (256, 256)


def jpeg(path: Path, size: tuple[int, int], **settings: Any) -> Path:
    """A smooth picture, so that its halves and quarters are alike."""
    width, height = size
    ramp = np.stack(np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height)), -1).astype(np.uint8)
    Image.fromarray(np.dstack([ramp, ramp[..., :1] // 2])).save(path, **settings)
    return path


@pytest.mark.parametrize("size", [(800, 600), (600, 801), (97, 4000)])
@pytest.mark.parametrize("shortest", [1, 70, 75, 76, 299, 300, 301, 599, 600, 601, 10_000])
def test_a_fraction_is_decoded_that_is_never_too_small(tmp_path: Path, size: tuple[int, int], shortest: int) -> None:
    path = jpeg(tmp_path / "x.jpg", size)
    with opened(path) as picture:
        found = upright(picture, mode="RGB", shortest=shortest).size
    (eighth,) = [part for part in (8, 4, 2, 1) if found == tuple(-(-side // part) for side in size)]
    assert min(found) >= min(shortest, *size)
    assert eighth == 8 or min(size) // (2 * eighth) < shortest, "a smaller one would have done"


def test_all_of_a_picture_is_decoded_where_no_size_is_asked_for_or_the_format_has_no_fractions(tmp_path: Path) -> None:
    assert decode(jpeg(tmp_path / "x.jpg", (400, 300)), mode="RGB", size=None).shape == (3, 300, 400)
    for name in ("x.png", "x.webp", "x.tif"):
        with opened(jpeg(tmp_path / name, (400, 300))) as picture:
            assert upright(picture, mode="RGB", shortest=10).size == (400, 300)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_decoded_of_a_fraction_is_the_same_picture(tmp_path: Path, kind: str, progressive: bool) -> None:
    more = {"save_all": True, "append_images": [Image.new("RGB", (1600, 1200))]} if kind == "MPO" else {}
    path = jpeg(tmp_path / "x.jpg", (1600, 1200), format=kind, quality=95, progressive=progressive, **more)
    with opened(path) as picture:
        assert picture.format == kind
        whole = pixels(upright(picture, mode="RGB"), 80)
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "framed", lambda of, **how: decoded.append(of.size) or framed(of, **how))
        found = decode(path, mode="RGB", size=80)
    assert decoded == [(400, 300)], "twice 80 at least"
    assert abs(found.astype(int) - whole).max() <= 2


def test_half_of_a_jpeg_is_none_at_any_scale(tmp_path: Path) -> None:
    whole = jpeg(tmp_path / "x.jpg", (800, 600)).read_bytes()
    for size in (None, 8, 300):
        with pytest.raises(NotDecoded, match="truncated"):
            decode(whole[: len(whole) // 2], mode="RGB", size=size)


def test_an_error_of_the_system_names_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotDecoded, match=r"^No such file or directory$"):
        decode(tmp_path / "absent.png", mode="L", size=8)


def test_a_picture_is_decoded_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)
    picture(tmp_path / "x.png")
    decode(tmp_path / "x.png", mode="L", size=8)
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1
