"""A folder of odd files and folders: of each, whether it is read, skipped (and why), or refused."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.base.files import sha256
from pipeline.config.data import Data
from pipeline.data.keeping import Keeping
from pipeline.data.listing import BESIDE, HIDDEN, LOOSE, STRANGE
from pipeline.data.origins import read_origins
from pipeline.data.prepare import prepare
from tests.data.folders import picture

READ, REFUSED = "read", "refused"
SKIPPED = (HIDDEN, STRANGE, LOOSE)

Writes = Callable[[Path], object]


def image(mode: str = "RGB", size: tuple[int, int] = (9, 7), **how: Any) -> Writes:
    """A picture of noise, saved as its suffix says."""

    def write(path: Path) -> None:
        width, height = size
        seed = zlib.crc32(path.name.encode())
        values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(values).convert(mode).save(path, **how)

    return write


def of_16_bits(path: Path) -> None:
    Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000).save(path)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image(exif=exif)(path)


def moving(path: Path) -> None:
    frames = [Image.new("P", (8, 8), colour) for colour in (3, 7, 9)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def clear(path: Path) -> None:
    Image.new("RGBA", (8, 8), (200, 10, 10, 90)).save(path)


def called(kind: str, **how: Any) -> Writes:
    """A picture of a format that its suffix does not tell."""
    return lambda path: image(format=kind, **how)(path)


def bytes_of(content: bytes) -> Writes:
    return lambda path: path.write_bytes(content)


def cut(write: Writes, keep: float) -> Writes:
    """Only the first part of a file."""

    def short(path: Path) -> None:
        write(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole))])

    return short


def huge(path: Path) -> None:
    """A PNG whose head claims more pixels than are decoded."""
    image()(path)
    content = path.read_bytes()
    head = b"IHDR" + struct.pack(">II", 50_000, 50_000) + content[24:29]
    path.write_bytes(content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:])


def spoiled(path: Path) -> None:
    """A byte in the middle of a PNG is another."""
    image(size=(64, 64))(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def link(target: str) -> Writes:
    return lambda path: path.symlink_to(target)


def copied(name: str) -> Writes:
    return lambda path: path.write_bytes((path.parent / name).read_bytes())


# Below a folder of a class, or of the root where they begin with `/`: what is written there, what becomes of it.
FILES: dict[str, tuple[Writes, str]] = {
    # read
    "a.jpg": (image(), READ),
    "b.jpeg": (image(), READ),
    "c.JPG": (image(format="JPEG"), READ),
    "d.JpEg": (image(format="JPEG"), READ),
    "progressive.jpg": (image(progressive=True), READ),
    "grey.jpg": (image("L"), READ),
    "cmyk.jpg": (image("CMYK"), READ),
    "turned.jpg": (turned, READ),
    "e.png": (image(), READ),
    "grey.png": (image("L"), READ),
    "palette.png": (image("P"), READ),
    "bit.png": (image("1"), READ),
    "grey alpha.png": (image("LA"), READ),
    "alpha.png": (image("RGBA"), READ),
    "clear.png": (clear, READ),
    "sixteen.png": (of_16_bits, READ),
    "interlaced.png": (image(), READ),
    "f.bmp": (image(), READ),
    "g.gif": (image("P"), READ),
    "moving.gif": (moving, READ),
    "h.webp": (image(), READ),
    "lossless.webp": (image(lossless=True), READ),
    "alpha.webp": (image("RGBA"), READ),
    "i.ppm": (image(), READ),
    "j.tif": (image(), READ),
    "k.tiff": (image("CMYK"), READ),
    "l.avif": (image(), READ),
    "two shots.mpo": (image(save_all=True, append_images=[Image.new("RGB", (9, 7))]), READ),
    "tiff as.jpg": (called("TIFF"), READ),
    "jpeg as.png": (called("JPEG"), READ),
    "png as.jpg": (called("PNG"), READ),
    "gif as.webp": (called("GIF"), READ),
    "one pixel.png": (image(size=(1, 1)), READ),
    "a line.png": (image(size=(200, 1)), READ),
    "a column.png": (image(size=(1, 200)), READ),
    "space at the end .png": (image(), READ),
    " space first.png": (image(), READ),
    "comma,quote'\".png": (image(), READ),
    "new\nline.png": (image(), READ),
    "caf\u00e9.png": (image(), READ),
    "cafe\u0301 2.png": (image(), READ),
    "\u732b.png": (image(), READ),
    "-rf.png": (image(), READ),
    "two.dots.png": (image(), READ),
    "copy of a.jpg": (copied("a.jpg"), READ),
    "link within.png": (link("e.png"), READ),
    "deep/er/and/deeper/a.png": (image(), READ),
    "train/a.png": (image(), READ),
    "behind the end.jpg": (lambda path: (image()(path), path.write_bytes(path.read_bytes() + b"more"))[0], READ),
    "long" + 40 * " name" + ".png"[:4]: (image(format="PNG"), READ),
    # skipped
    ".hidden.png": (image(), HIDDEN),
    "._a.jpg": (bytes_of(b"\0\5\x16\7"), HIDDEN),
    ".DS_Store": (bytes_of(b"x"), HIDDEN),
    ".thumbs/a.png": (image(), HIDDEN),
    "deep/.hidden.jpg": (image(), HIDDEN),
    "notes.txt": (bytes_of(b"about"), STRANGE),
    "Thumbs.db": (bytes_of(b"x"), STRANGE),
    "no suffix": (called("PNG"), STRANGE),
    "a.jpg.part": (called("JPEG"), STRANGE),
    "a.json": (bytes_of(b"{}"), STRANGE),
    "movie.mp4": (bytes_of(b"x"), STRANGE),
    "drawing.svg": (bytes_of(b"<svg/>"), STRANGE),
    "page.eps": (bytes_of(b"%!PS"), STRANGE),
    "archive.zip": (bytes_of(b"PK"), STRANGE),
    "deep/notes.md": (bytes_of(b"about"), STRANGE),
    "/loose.png": (image(), LOOSE),
    "/README.md": (bytes_of(b"about"), LOOSE),
    "/.git/config.png": (image(), HIDDEN),
    # refused by name, all at once
    "empty.png": (bytes_of(b""), REFUSED),
    "text.jpg": (bytes_of(b"no image at all"), REFUSED),
    "zeros.png": (bytes_of(bytes(1000)), REFUSED),
    "half.png": (cut(image(size=(64, 64)), 0.5), REFUSED),
    "half.jpg": (cut(image(size=(64, 64)), 0.5), REFUSED),
    "head.png": (cut(image(), 0.3), REFUSED),
    "half.webp": (cut(image(size=(64, 64)), 0.5), REFUSED),
    "spoiled.png": (spoiled, REFUSED),
    "huge.png": (huge, REFUSED),
    "eps as.png": (bytes_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), REFUSED),
    "html as.jpg": (bytes_of(b"<!doctype html><title>404</title>"), REFUSED),
    "pdf as.png": (bytes_of(b"%PDF-1.7"), REFUSED),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with a second class of plain images. To be read, not changed."""
    root = tmp_path_factory.mktemp("odd")
    (root / "odd").mkdir()
    for name, (write, _) in FILES.items():
        path = root / name[1:] if name.startswith("/") else root / "odd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    for number in range(5):
        picture(root / "plain" / f"{number}.png", seed=number)
    return root


def below(name: str) -> str:
    return name[1:] if name.startswith("/") else f"odd/{name}"


def told(reason: str) -> list[str]:
    """The names below the root of which one thing comes, sorted."""
    return sorted(below(name) for name, (_, becomes) in FILES.items() if becomes == reason)


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 60
    assert {becomes for _, becomes in FILES.values()} == {READ, REFUSED, *SKIPPED}


def test_all_that_cannot_be_read_is_refused_at_once(odd: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        prepare(Data.model_validate({"source": "imagefolder", "size": 8}), odd, 0, tmp_path / "out")
    sentence = str(refused.value)
    head, _, listed = sentence.partition(": ")
    whole = len(told(REFUSED)) + len(told(READ)) + 5
    assert head == f"{len(told(REFUSED))} of {whole} files under data.root are no readable images"
    assert sorted(part.partition(" (")[0] for part in listed.split("; ")) == told(REFUSED)
    assert "huge.png (it has 50000x50000 pixels, and 178,956,970 are the most that are decoded)" in listed
    assert listed.endswith("replace them, take them out, or set data.unreadable to skip in params.yaml")


def test_each_is_read_or_skipped_with_its_reason(odd: Path, tmp_path: Path) -> None:
    said: list[str] = []
    data = Data.model_validate({"source": "imagefolder", "size": 8, "unreadable": "skip"})
    header = prepare(data, odd, 0, tmp_path, origins=True, keeping=Keeping(log=said.append))
    origins = read_origins(tmp_path, header["hash"])
    assert origins.paths is not None
    used = [origins.paths[row] for rows in origins.rows.values() for row in rows.tolist()]
    assert sorted(used) == sorted([*told(READ), *(f"plain/{number}.png" for number in range(5))])
    for reason in SKIPPED:
        names = [name for name in told(reason) if "/.git/" not in f"/{name}" and ".thumbs/" not in name]
        whole = [*names, *([".git", "odd/.thumbs"] if reason == HIDDEN else [])]
        (sentence,) = (each for each in said if f"({reason})" in each)
        assert sentence.startswith(f"prepare: left out {len(whole)} ({reason}): ")
        assert {*sentence.partition("): ")[2].removesuffix(", …").split(", ")} <= {*whole}
    unread = [each for each in said if each.startswith("prepare: unreadable: ")]
    assert sum(int(each.split()[4]) for each in unread) == len(told(REFUSED))
    assert BESIDE not in " ".join(said)
    assert any("copies of others, byte by byte" in each for each in said)
    assert any("of one colour all over" in each and "odd/moving.gif" in each for each in said)


def test_any_number_of_workers_leaves_the_same_bytes(odd: Path, tmp_path: Path) -> None:
    data = Data.model_validate({"source": "imagefolder", "size": 8, "unreadable": "skip"})
    hashes, said = [], []
    for workers in (1, 8):
        said.append([])
        prepare(data, odd, 0, tmp_path / str(workers), keeping=Keeping(log=said[-1].append, threads=workers))
        hashes.append({path.name: sha256(path) for path in (tmp_path / str(workers)).iterdir()})
    assert hashes[0] == hashes[1]
    assert said[0] == said[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission_is_among_those_that_cannot_be_read(tmp_path: Path) -> None:
    for number in range(8):
        picture(tmp_path / "ab"[number % 2] / f"{number}.png", seed=number)
    (tmp_path / "a" / "0.png").chmod(0)
    with pytest.raises(UserError, match=r"a/0.png \(Permission denied\)"):
        prepare(Data(source="imagefolder"), tmp_path, 0, tmp_path / ".out")
