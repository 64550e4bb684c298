"""Every image is read once, what was found is kept, and a kill costs nothing but what was under way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.base.files import sha256
from pipeline.config.data import Data
from pipeline.data import examine as module
from pipeline.data.examine import examine, refuse_unreadable
from pipeline.data.images import Source
from pipeline.data.keeping import Keeping
from pipeline.data.kept_looks import FOLDER
from pipeline.data.prepare import prepare
from pipeline.data.sources import imagefolder
from tests.data.folders import folder, picture
from tests.scratch import ROOT

WHITE = (255, 255, 255)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of all that is decoded to look at it."""
    sizes: list[int] = []
    whole = module.decode

    def watched(content: bytes, **how: Any) -> np.ndarray:
        sizes.append(len(content))
        return whole(content, **how)

    monkeypatch.setattr(module, "decode", watched)
    return sizes


def examined(root: Path, kept: Path, background: tuple[int, int, int] = WHITE) -> module.Examined:
    return examine(imagefolder.load(root), background, kept)


def same(one: module.Examined, other: module.Examined) -> bool:
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("ids", "flat", "dark"))


def test_what_was_found_is_not_looked_for_again(tmp_path: Path, read: list[int]) -> None:
    root, kept = folder(tmp_path / "images", {"a": 20, "b": 20}), tmp_path / "kept" / "looks"
    first = examined(root, kept)
    assert len(read) == 40
    assert same(first, examined(root, kept)) and len(read) == 40
    picture(root / "a" / "new.png", seed=7)
    assert len(examined(root, kept).ids) == 41 and len(read) == 41
    (root / "a" / "new.png").rename(root / "b" / "moved.png")
    examined(root, kept)
    assert len(read) == 42, "another name is another file"


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path, read: list[int]) -> None:
    root, kept = folder(tmp_path / "images", {"a": 3, "b": 3}), tmp_path / "looks"
    first = examined(root, kept)
    picture(root / "a" / "000.png", seed=77)
    after = examined(root, kept)
    assert len(read) == 7
    assert (first.ids != after.ids).any(axis=1).tolist() == [True] + [False] * 5
    os.utime(root / "b" / "000.png", ns=(0, 1))
    assert same(after, examined(root, kept)) and len(read) == 8


@pytest.mark.parametrize("cut", [2, 30, 90])
def test_lines_that_are_spoiled_count_for_nothing(tmp_path: Path, read: list[int], cut: int) -> None:
    root, kept = folder(tmp_path / "images", {"a": 3, "b": 3}), tmp_path / "looks"
    first = examined(root, kept)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-cut])
    assert same(first, examined(root, kept)) and len(read) == 7
    assert same(first, examined(root, kept)) and len(read) == 7, "the line is there again, on a line of its own"
    lines = whole.splitlines(keepends=True)
    lines[3] = lines[3].replace(b"false", b"true")
    kept.write_bytes(b"".join(lines))
    assert same(first, examined(root, kept)) and len(read) == 8


def test_other_settings_and_other_decoders_look_again(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, kept = folder(tmp_path / "images", {"a": 3, "b": 3}), tmp_path / "looks"
    examined(root, kept)
    examined(root, kept, (0, 0, 0))
    assert len(read) == 12
    monkeypatch.setattr("pipeline.data.kept_looks.decoders", lambda: {"pillow": "0"})
    examined(root, kept, (0, 0, 0))
    assert len(read) == 18


def test_what_is_gone_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.kept_looks.SPARE", 0)
    root, kept = folder(tmp_path / "images", {"a": 30, "b": 3}), tmp_path / "looks"
    examined(root, kept)
    for path in [*(root / "a").iterdir()][:20]:
        path.unlink()
    examined(root, kept)
    assert len(kept.read_bytes().splitlines()) == 1 + 13


def test_what_cannot_be_read_is_looked_for_each_time(tmp_path: Path, read: list[int]) -> None:
    root, kept = folder(tmp_path / "images", {"a": 3, "b": 3}), tmp_path / "looks"
    (root / "a" / "bad.png").write_bytes(b"bad")
    for _ in range(2):
        assert [*examined(root, kept).faults] == [3]
    assert len(read) == 8


def test_a_file_that_is_gone_meanwhile_is_among_those_that_cannot_be_read(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", {"a": 3, "b": 3})
    source = imagefolder.load(root)
    (root / "b" / "001.png").unlink()
    found = examine(source, WHITE, tmp_path / "looks")
    assert found.faults == {4: "No such file or directory"}
    with pytest.raises(UserError, match=r"1 of 6 files under data.root is no readable image: b/001.png \(No such file"):
        refuse_unreadable(source, found.faults)


def test_images_of_an_array_are_known_by_their_bytes() -> None:
    values = np.random.default_rng(0).integers(0, 256, (600, 1, 3, 3), dtype=np.uint8)
    values[7], values[8], values[9] = 90, 1, values[10]
    found = examine(Source(values, np.zeros(600, dtype=np.int64), ("a", "b")), WHITE)
    assert len(np.unique(found.ids, axis=0)) == 599
    assert np.flatnonzero(found.flat).tolist() == [7, 8]
    assert np.flatnonzero(found.dark).tolist() == [8]
    assert not found.faults


CHILD = """
import sys, time
from pathlib import Path
from pipeline.config.data import Data
from pipeline.data import examine, prepare
from pipeline.data.keeping import Keeping
decode = examine.decode
def slow(*arguments, **how):
    time.sleep(0.002)
    return decode(*arguments, **how)
examine.decode = slow
keeping = Keeping(lambda: Path("state"), threads=2)
prepare.prepare(Data(source="imagefolder"), Path("images"), 0, Path("out"), keeping=keeping)
print("done")
"""


@pytest.mark.parametrize("lines", [1, 40, 119])
def test_killed_at_any_moment_it_goes_on_and_leaves_the_same_bytes(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    monkeypatch.chdir(tmp_path)
    root = folder(tmp_path / "images", {"a": 60, "b": 60})
    prepare(Data(source="imagefolder"), root, 0, tmp_path / "whole")
    read.clear()
    child = subprocess.Popen([sys.executable, "-c", CHILD], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while child.poll() is None:
        if any(path.read_bytes().count(b"\n") > lines for path in (tmp_path / "state").rglob("*.looks")):
            child.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    child.wait()
    (kept,) = (tmp_path / "state" / FOLDER).iterdir()
    before = kept.read_bytes().count(b"\n") - 1
    assert before >= lines
    prepare(Data(source="imagefolder"), Path("images"), 0, tmp_path / "again", keeping=Keeping(lambda: Path("state")))
    assert len(read) == 120 - before
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert [sha256(tmp_path / "again" / name) for name in names] == [
        sha256(tmp_path / "whole" / name) for name in names
    ]
