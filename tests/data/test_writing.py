"""The encoded store as it is written: the same bytes whatever was kept, and little work where little has changed."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base import links
from pipeline.base.errors import UserError
from pipeline.base.files import read_sealed, sha256
from pipeline.config.data import Data
from pipeline.data import shards, writing
from pipeline.data.decode import GAP, NotDecoded, decode
from pipeline.data.encoded import EncodedImages
from pipeline.data.encoding import encoded
from pipeline.data.keeping import Keeping
from pipeline.data.kept_images import FOLDER
from pipeline.data.left_out import LEFT_OUT
from pipeline.data.names import SplitName
from pipeline.data.prepare import prepare
from pipeline.data.prepared import HEADER, ROWS, read, read_header
from pipeline.data.shards import bucket_of
from pipeline.data.splits import ID
from pipeline.data.writing import Undecodable, Written, write_splits
from tests.data.pictures import Files, file, photograph, write
from tests.scratch import ROOT, wait

DATA = Data(source="imagefolder", size=20, storage="encoded")
COUNT = 60


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PER_SHARD", 8)


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [file(photograph(seed, (60, 45))) for seed in range(COUNT + 1)]


def ids(contents: list[bytes]) -> np.ndarray:
    hashes = b"".join(hashlib.sha256(content).digest() for content in contents)
    return np.frombuffer(hashes, dtype=np.uint8).reshape(-1, ID)


def rows(count: int) -> dict[SplitName, np.ndarray]:
    whole = np.arange(count)
    return {"train": whole[whole % 3 == 0], "validation": whole[whole % 3 == 1], "test": whole[whole % 3 == 2]}


def store(
    out: Path, files: Files, state: Path | None = None, log: Any = lambda said: None, code: str = "", **more: Any
) -> Written:
    out.mkdir()
    keeping = Keeping((lambda: state) if state else None, code, log, threads=more.get("threads"))
    of = more.get("rows") or rows(len(files.contents))
    return write_splits(out, files, of, ids(files.contents), more.get("data", DATA), keeping)


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def kept(state: Path) -> list[Path]:
    return sorted(state.rglob("*.tar"))


def test_what_is_read_is_the_encoded_image_of_each_row(tmp_path: Path, contents: list[bytes]) -> None:
    files = Files(contents)
    written = store(tmp_path / "out", files)
    assert (written.storage, written.store_size) == ("encoded", 30)
    assert written.shapes["train"] == (21, 3, 20, 20)
    recorded = bytes_of(tmp_path / "out")
    assert written.files == recorded and len([name for name in recorded if name.endswith(".tar")]) == 8
    for split, rows_N in rows(len(contents)).items():
        places_N = np.load(tmp_path / "out" / ROWS[split])
        images = EncodedImages(writing.Shards(tmp_path / "out" / "shards", written.files), places_N, 3, 20)
        for at in (0, 7, len(rows_N) - 1):
            own = encoded("a" * 64, contents[rows_N[at]], 30)
            assert images.content(at) == own.content
            assert images.sizes[at].tolist() == [own.width, own.height] == [40, 30]
            np.testing.assert_array_equal(images[at], decode(own.content, mode="RGB", size=20))
    assert not [path for path in tmp_path.iterdir() if path.name != "out"], "nothing is left beside it"


def test_the_same_bytes_for_any_number_of_threads(tmp_path: Path, contents: list[bytes]) -> None:
    for threads in (1, 8):
        store(tmp_path / str(threads), Files(contents), threads=threads)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "8")


def test_a_second_run_encodes_nothing_and_shares_its_bytes_with_what_is_kept(
    tmp_path: Path, contents: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, first, second = tmp_path / "state", Files(contents), Files(contents)
    store(tmp_path / "one", first, state)
    assert set(first.asked) == {1}
    store(tmp_path / "two", second, state)
    assert set(second.asked) == {0}
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    inodes = {path.stat().st_ino for path in kept(state)}
    if not any(links.reflink(kept(state)[0], tmp_path / f"try{number}") for number in range(1)):
        assert {path.stat().st_ino for path in (tmp_path / "two" / "shards").iterdir()} == inodes


def test_one_more_photograph_is_one_encoding_and_one_shard(tmp_path: Path, contents: list[bytes]) -> None:
    state = tmp_path / "state"
    store(tmp_path / "before", Files(contents[:COUNT]), state)
    more = Files(contents)
    store(tmp_path / "after", more, state)
    assert more.asked == [0] * COUNT + [1]
    before, after = (bytes_of(tmp_path / name / "shards") for name in ("before", "after"))
    new = shards.shard_name(bucket_of(ids(contents)[-1].tobytes().hex(), 8))
    assert {name for name in after if before.get(name) != after[name]} == {new}
    assert len(kept(state)) == 9
    # What was kept leaves no trace.
    store(tmp_path / "alone", Files(contents))
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "after")


def test_more_shards_are_made_of_what_is_kept(tmp_path: Path, contents: list[bytes]) -> None:
    state = tmp_path / "state"
    for count in (COUNT, 20, 9, 33, COUNT):
        files = Files(contents[:count])
        store(tmp_path / f"{count}-{len(kept(state))}", files, state)
        alone = tmp_path / f"alone-{count}-{len(kept(state))}"
        store(alone, Files(contents[:count]))
        assert bytes_of(alone) == bytes_of(max(tmp_path.glob(f"{count}-*"), key=os.path.getmtime))
        assert set(files.asked) == ({1} if alone.name == f"alone-{COUNT}-8" else {0})


def test_equal_files_are_stored_once(tmp_path: Path, contents: list[bytes]) -> None:
    files = Files([*contents[:10], *contents[:10]])
    store(tmp_path / "out", files)
    assert sum(files.asked) == 10
    places = {split: np.load(tmp_path / "out" / ROWS[split]) for split in ROWS}
    assert places["train"][0] == places["validation"][3]  # rows 0 and 10


def test_only_what_a_split_has_is_encoded(tmp_path: Path, contents: list[bytes]) -> None:
    files = Files(contents)
    few: dict[SplitName, np.ndarray] = {
        "train": np.array([4, 2]),
        "validation": np.array([9]),
        "test": np.array([7]),
    }
    store(tmp_path / "out", files, rows=few)
    assert [row for row, times in enumerate(files.asked) if times] == [2, 4, 7, 9]


@pytest.mark.parametrize("change", ["code", "store_size", "decoders", "background"])
def test_other_settings_keep_apart(
    tmp_path: Path, contents: list[bytes], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    store(tmp_path / "one", Files(contents[:9]), tmp_path / "state", code="1")
    files, data = Files(contents[:9]), DATA
    if change == "store_size":
        data = Data(source="imagefolder", size=20, storage="encoded", store_size=25)
    if change == "background":
        data = Data(source="imagefolder", size=20, storage="encoded", background=(0, 0, 0))
    if change == "decoders":
        monkeypatch.setattr(writing, "decoders", lambda: {"pillow": "0"})
    store(tmp_path / "two", files, tmp_path / "state", code="2" if change == "code" else "1", data=data)
    assert set(files.asked) == {1}
    assert len([*(tmp_path / "state" / FOLDER).iterdir()]) == 2


def flip(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[-2000] ^= 1
    path.write_bytes(damaged)


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:900])])
def test_a_damaged_shard_is_named_and_encoded_again(tmp_path: Path, contents: list[bytes], damage: Any) -> None:
    state = tmp_path / "state"
    store(tmp_path / "one", Files(contents[:16]), state)
    whole = bytes_of(tmp_path / "one")
    path = kept(state)[0]
    path.rename(tmp_path / "aside")  # the store's own is another file, as on another file system
    path.write_bytes((tmp_path / "aside").read_bytes())
    damage(path)
    said: list[str] = []
    files = Files(contents[:16])
    store(tmp_path / "two", files, state, said.append)
    assert bytes_of(tmp_path / "two") == whole
    assert len(said) == 1 and f"{path} is damaged" in said[0]
    assert 0 < sum(files.asked) < 16
    assert len(kept(state)) == 2


def test_all_files_that_cannot_be_decoded_are_told_and_the_rest_is_kept(tmp_path: Path, contents: list[bytes]) -> None:
    spoiled = list(contents)
    for row in (3, 5, 40):
        spoiled[row] = spoiled[row][:200] + bytes([row])
    state = tmp_path / "state"
    for data in (DATA, Data(source="imagefolder", size=20)):
        with pytest.raises(Undecodable) as caught:
            store(tmp_path / data.storage, Files(spoiled), state, data=data)
        assert [row for row, _ in caught.value.found] == [3, 5, 40] and all(why for _, why in caught.value.found)
    mended = Files(contents)
    store(tmp_path / "mended", mended, state)
    assert [row for row, times in enumerate(mended.asked) if times] == [3, 5, 40]
    store(tmp_path / "alone", Files(contents))
    assert bytes_of(tmp_path / "mended") == bytes_of(tmp_path / "alone")


def test_of_a_large_store_a_sample_of_the_least_ids_gives_mean_and_deviation(
    tmp_path: Path, contents: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = store(tmp_path / "whole", Files(contents))
    monkeypatch.setattr(writing, "SAMPLE", 5)
    written = store(tmp_path / "out", Files(contents))
    train = rows(len(contents))["train"]
    least = sorted(range(len(train)), key=lambda at: ids(contents)[train[at]].tobytes())[:5]
    images = EncodedImages(
        writing.Shards(tmp_path / "out" / "shards", None), np.load(tmp_path / "out" / ROWS["train"]), 3, 20
    )
    assert written.mean == pytest.approx((images[np.array(least)] / 255).mean(axis=(0, 2, 3)).tolist())
    assert whole.mean == pytest.approx((images[:] / 255).mean(axis=(0, 2, 3)).tolist())


@pytest.mark.parametrize(
    ("size", "asked", "storage"),
    [(64, "auto", "pixels"), (65, "auto", "encoded"), (65, "pixels", "pixels"), (8, "encoded", "encoded")],
)
def test_auto_encodes_files_of_more_than_64_pixels(
    tmp_path: Path, contents: list[bytes], size: int, asked: Any, storage: str
) -> None:
    data = Data(source="imagefolder", size=size, storage=asked)
    written = store(tmp_path / "out", Files(contents[:6]), data=data)
    assert written.storage == storage
    assert written.store_size == (None if storage == "pixels" else -(-3 * size // 2))


def test_an_array_cannot_be_encoded(tmp_path: Path) -> None:
    pixels, none = np.zeros((6, 3, 80, 80), np.uint8), np.zeros((6, ID), np.uint8)
    with pytest.raises(UserError, match=r"data.storage encoded keeps image files, and data.source .* has none"):
        write_splits(tmp_path, pixels, rows(6), none, DATA)
    assert write_splits(tmp_path, pixels, rows(6), none, Data(source="imagefolder", size=80)).storage == "pixels"


def test_a_prepared_folder_of_photographs_is_read_as_one_of_pixels_is(tmp_path: Path) -> None:
    root = write(tmp_path / "in", {"a": 10, "b": 10})
    headers = {}
    for storage in ("pixels", "encoded"):
        data = Data.model_validate({"source": "imagefolder", "size": 20, "storage": storage})
        headers[storage] = prepare(data, root, 0, tmp_path / storage)
    assert read_sealed(tmp_path / "encoded" / "data.json")["decoders"]
    one, other = (read(tmp_path / storage) for storage in ("pixels", "encoded"))
    assert one.hash != other.hash
    for split in ("train", "validation", "test"):
        a, b = getattr(one, split), getattr(other, split)
        np.testing.assert_array_equal(a.labels, b.labels)
        # The files are small enough to be stored as they are.
        np.testing.assert_array_equal(np.array(a.images), np.array(b.images))
    smaller = Data.model_validate({"source": "imagefolder", "size": 16, "storage": "encoded", "store_size": 30})
    again = prepare(smaller, root, 0, tmp_path / "smaller")
    assert again["hash"] != headers["encoded"]["hash"]


@pytest.mark.parametrize("storage", ["pixels", "encoded"])
def test_what_is_transparent_shows_the_background_of_the_header(tmp_path: Path, storage: str) -> None:
    root = write(tmp_path / "in", {"a": 6, "b": 6})
    for number in range(12):
        clear = Image.new("RGBA", (40, 30), (number, 0, 0, 0))
        (root / "ab"[number % 2] / f"clear{number}.png").write_bytes(file(clear, "PNG"))
    hashes = set()
    for colour in ((255, 255, 255), (1, 2, 3)):
        out = tmp_path / str(colour)
        data = {"source": "imagefolder", "size": 20, "storage": storage, "background": colour}
        header = prepare(Data.model_validate(data), root, 0, out)
        assert (header["background"], header["jpeg_scale"]) == (colour, GAP)
        found = read(out)
        assert found.background == colour
        images = np.array(found.train.images)
        shown = [image for image in images if (image == np.reshape(colour, (3, 1, 1))).all()]
        assert len(shown) >= 4
        hashes.add(header["hash"])
    assert len(hashes) == 2


@pytest.mark.parametrize("other", [{"size": 16, "store_size": 30}, {"background": (1, 2, 3)}])
def test_labels_are_bound_to_what_decodes_even_where_nothing_else_tells_it(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    """Files, mean and deviation are alike: images of one colour, and transparent ones in validation alone."""
    for split, alpha in (("train", 255), ("val", 0)):
        for number in range(4):
            folder = tmp_path / "in" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            one = Image.new("RGBA", (40, 30), (number % 2 * 128, number, 0, alpha))
            (folder / f"{number}.png").write_bytes(file(one, "PNG"))
    data = {"source": "imagefolder", "size": 20, "storage": "encoded"}
    headers = [
        prepare(Data.model_validate(data | more), tmp_path / "in", 0, tmp_path / str(at))
        for at, more in enumerate(({}, other))
    ]
    assert headers[0]["files"] == headers[1]["files"]
    assert headers[0]["mean"] == headers[1]["mean"] and headers[0]["std"] == headers[1]["std"]
    assert headers[0]["hash"] != headers[1]["hash"]


@pytest.mark.parametrize("storage", ["pixels", "encoded"])
def test_what_is_unreadable_when_it_is_written_is_as_what_was_so_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    """It was looked at small, or before, and is now what it was not."""
    root = write(tmp_path / "in", {"a": 20, "b": 20})
    settings = {"source": "imagefolder", "size": 20, "storage": storage}
    bad = [(root / "a" / f"{number:03}.jpg").read_bytes() for number in (3, 5)]
    whole, small = writing.decode, writing.encoded

    def check(content: bytes) -> None:
        if content in bad:
            raise NotDecoded("it is torn")

    monkeypatch.setattr(writing, "decode", lambda content, **how: (check(content), whole(content, **how))[1])
    monkeypatch.setattr(writing, "encoded", lambda id, content, *how: (check(content), small(id, content, *how))[1])
    listed = r"^2 of 40 files under .*: a/003.jpg \(it is torn\); a/005.jpg \(it is torn\): replace them"
    with pytest.raises(UserError, match=listed):
        prepare(Data.model_validate(settings), root, 0, tmp_path / "refused")
    said: list[str] = []
    skip = Data.model_validate({**settings, "unreadable": "skip"})
    header = prepare(skip, root, 0, tmp_path / "skipped", keeping=Keeping(log=said.append))
    assert sum(header["counts"].values()) == 38
    assert said == ["prepare: unreadable: left out 2 (it is torn): a/003.jpg, a/005.jpg"]
    monkeypatch.setattr(writing, "decode", whole)
    monkeypatch.setattr(writing, "encoded", small)
    for number in (3, 5):
        (root / "a" / f"{number:03}.jpg").write_bytes(b"torn")
    prepare(skip, root, 0, tmp_path / "before")
    before, skipped = bytes_of(tmp_path / "before"), bytes_of(tmp_path / "skipped")
    for found in (before, skipped):  # the reason is another one, and stands there
        assert found.pop(LEFT_OUT) and found.pop(HEADER)
    assert before == skipped and read_header(tmp_path / "before").hash == header["hash"]


KILLED = """
import sys, time
from pathlib import Path
from pipeline.config.data import Data
from pipeline.data import shards, writing
from pipeline.data.keeping import Keeping
from pipeline.data.prepare import prepare
shards.PER_SHARD = 8
encode = writing.encoded
def slowly(*given):
    time.sleep(0.02)
    return encode(*given)
writing.encoded = slowly
root, state, out = map(Path, sys.argv[1:])
data = Data(source="imagefolder", size=20, storage="encoded")
prepare(data, root, 0, out, keeping=Keeping(lambda: state, "", print, threads=2))
"""


def test_killed_at_any_moment_the_next_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root = write(tmp_path / "in", {"a": 40, "b": 40}, (60, 45))
    prepare(DATA, root, 0, tmp_path / "alone")
    state = tmp_path / "state"
    for shards_done in (1, 4, 7):
        command = [sys.executable, "-c", KILLED, str(root), str(state), str(tmp_path / f"out{shards_done}")]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            wait("shards", lambda done=shards_done: len(kept(state)) >= done)
            time.sleep(0.05)  # into the next one
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        before = {path.name: path.stat().st_ino for path in kept(state)}
    prepare(DATA, root, 0, tmp_path / "out", keeping=Keeping(lambda: state))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "alone")
    assert {path.name: path.stat().st_ino for path in kept(state)}.items() >= before.items(), "done is done"
    assert not [*state.rglob("*.tmp")]


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 images are 70 MB; a process that holds them all has grown by that."""
    monkeypatch.setattr(writing, "CHUNK_BYTES", 2**20)
    content = file(photograph(0, (150, 120)), quality=95)

    class Many(Files):
        def __init__(self, count: int) -> None:
            self.names = [""] * count

        def read(self, row: int) -> bytes:
            return content[:2] + b"\xff\xfe\x75\x32" + row.to_bytes(4, "big") * 7500 + content[2:]

    data = Data(source="imagefolder", size=100, storage="encoded")
    names = ids([str(row).encode() for row in range(2000)])
    peaks = []
    for count in (100, 2000):
        (tmp_path / str(count)).mkdir()
        write_splits(tmp_path / str(count), Many(count), rows(count), names[:count], data)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    size = sum(path.stat().st_size for path in (tmp_path / "2000" / "shards").iterdir())
    assert size > 6e7
    assert peaks[1] - peaks[0] < size / 2
