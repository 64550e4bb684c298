import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.data import encoded as module
from pipeline.data.decode import decode
from pipeline.data.encoded import EncodedImages, Shards
from pipeline.data.shards import PLACE, Stored, write_shard
from tests.data.pictures import file, photograph

COUNT = 40


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [file(photograph(seed, (40 + seed, 30))) for seed in range(COUNT)]


@pytest.fixture
def made(tmp_path: Path, contents: list[bytes]) -> tuple[Path, dict[str, str], np.ndarray]:
    """Two shards, their hashes, and where the rows lie: even ones in the first."""
    (tmp_path / "shards").mkdir()
    recorded, places = {}, np.zeros(COUNT, dtype=PLACE)
    for number in (0, 1):
        rows = range(number, COUNT, 2)
        images = [Stored(f"{row:064x}", "jpg", 40 + row, 30, contents[row]) for row in rows]
        shard = write_shard(tmp_path / "shards" / f"{number:06}.tar", images)
        recorded[f"shards/{number:06}.tar"] = shard.sha256
        places[number::2] = shard.places
        places["shard"][number::2] = number
    return tmp_path / "shards", recorded, places


def opened(made: tuple[Path, dict[str, str], np.ndarray], threads: int = 1, channels: int = 3) -> EncodedImages:
    folder, recorded, places = made
    return EncodedImages(Shards(folder, recorded), places, channels, 16, threads)


def test_rows_are_decoded_and_framed_whatever_the_number_of_threads(made: tuple, contents: list[bytes]) -> None:
    rows_B = np.random.default_rng(0).integers(0, COUNT, 30)
    wanted = np.stack([decode(contents[row], mode="RGB", size=16) for row in rows_B])
    for threads in (1, 2, 8):
        images = opened(made, threads)
        np.testing.assert_array_equal(images[rows_B], wanted)
        np.testing.assert_array_equal(images[:7], images[np.arange(7)])
        np.testing.assert_array_equal(np.array(images), images[np.arange(COUNT)])
        np.testing.assert_array_equal(images[5], decode(contents[5], mode="RGB", size=16))
        assert images[rows_B[:0]].shape == (0, 3, 16, 16)
        assert images[:].flags.writeable
    assert opened(made, channels=1)[rows_B].shape == (30, 1, 16, 16)


def test_it_says_how_large_it_is_without_reading(made: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Shards, "read", lambda *args: pytest.fail("read"))
    images = opened(made)
    assert (len(images), images.shape, images.nbytes) == (COUNT, (COUNT, 3, 16, 16), COUNT * 3 * 16 * 16)
    assert images.sizes[:2].tolist() == [[40, 30], [41, 30]]


def test_a_stored_picture_can_be_had_at_its_own_size(made: tuple, contents: list[bytes]) -> None:
    images = opened(made)
    assert images.content(3) == contents[3]
    np.testing.assert_array_equal(images.picture(3), decode(contents[3], mode="RGB", size=None))
    assert images.picture(3).shape == (3, 30, 43)


def test_a_shard_is_hashed_once_and_only_when_it_is_read(made: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def verify(path: Path, *args: object) -> None:
        hashed.append(path.name)
        threading.Event().wait(0.02)  # so that all threads come while it is hashed

    monkeypatch.setattr(module, "verify", verify)
    images = opened(made, threads=8)
    assert hashed == []
    images[np.arange(0, COUNT, 2)]
    assert hashed == ["000000.tar"]
    images[:]
    images[:]
    assert sorted(hashed) == ["000000.tar", "000001.tar"]


def flip(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[700] ^= 1
    path.write_bytes(damaged)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, r"000001.tar is damaged \(its SHA-256 is not the recorded one\): delete .* and run `dvc repro`"),
        (lambda path: path.unlink(), r"000001.tar is missing: delete .* and run `dvc repro`"),
        (lambda path: path.write_bytes(b""), r"000001.tar is damaged"),
    ],
)
def test_a_damaged_shard_is_named_with_what_to_do_when_it_is_read(made: tuple, damage: object, said: str) -> None:
    assert callable(damage)
    damage(made[0] / "000001.tar")
    images = opened(made)
    images[np.arange(0, COUNT, 2)]  # of the other one
    with pytest.raises(UserError, match=said):
        images[np.array([1])]


def test_what_cannot_be_decoded_here_is_one_sentence(made: tuple) -> None:
    folder, recorded, places = made
    path = folder / "000000.tar"
    shard = write_shard(path, [Stored("0" * 64, "jpg", 4, 4, b"no image")])
    recorded["shards/000000.tar"] = files.sha256(path)
    places[0] = shard.places[0]
    with pytest.raises(UserError, match=r"an image of .*000000.tar cannot be decoded here"):
        opened(made)[0]
