"""Strangers' pictures: the decoders on the list and no other, a bound over all threads, and sizes that are named."""

import ast
import os
import shutil
import struct
import subprocess
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from pipeline.base.errors import UserError
from pipeline.data import decode as module
from pipeline.data.decode import NotDecoded, PixelBudget, decode
from pipeline.data.formats import FORMATS
from pipeline.data.images import Decoded
from tests.data.folders import decoded, folder, picture
from tests.scratch import ROOT

Image.init()
SAME = {"MPO"}  # written by a name of its own, and read as JPEG
OTHERS = sorted({*Image.OPEN, *Image.SAVE} - {*FORMATS} - SAME)


def test_every_format_of_the_list_is_one_of_pillows() -> None:
    assert {*FORMATS} <= {*Image.OPEN}
    assert len(OTHERS) > 25


@pytest.mark.parametrize("kind", [*FORMATS, *SAME])
def test_every_format_of_the_list_is_read_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (6, 6), (90, 90, 90)).save(tmp_path / "x", kind)
    np.testing.assert_allclose(decode(tmp_path / "x", mode="L", size=None), 90, atol=3)


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
    with pytest.raises(
        UserError, match=r"a/000.png under data.root is no readable image \(its content is none of JPEG,"
    ):
        decoded(tmp_path, 8)
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
    assert found == [("pipeline/data/decode.py", {"formats"})]


def test_a_picture_of_more_pixels_than_are_decoded_is_named_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, {"a": 1, "b": 1}, size=(40, 30))
    monkeypatch.setattr(module, "LARGEST", 1200)
    assert decoded(tmp_path, 8).shape == (2, 3, 8, 8)
    monkeypatch.setattr(module, "LARGEST", 1199)
    with pytest.raises(
        UserError, match=r"a/000.png .*\(it has 40x30 pixels, and 1,199 are the most that are decoded\)"
    ):
        decoded(tmp_path, 8)


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

    def pixels(opened: Image.Image, **_: Any) -> np.ndarray:
        nonlocal held, most
        with lock:
            held += opened.width * opened.height
            most = max(most, held)
        both.wait()
        with lock:
            held -= opened.width * opened.height
        return np.zeros((1, 2, 2), np.uint8)

    for number in range(4):
        picture(tmp_path / f"{number}.png", size=(10, 10))
    monkeypatch.setattr(module, "BUDGET", PixelBudget(299))
    monkeypatch.setattr(module, "pixels", pixels)
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
        decoded(tmp_path, 8)
