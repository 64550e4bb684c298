import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import shards as module
from pipeline.data.shards import (
    Bucket,
    NoShard,
    Stored,
    bucket_of,
    buckets,
    number_of,
    read_shard,
    shard_name,
    write_shard,
)


def name(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def stored(count: int) -> list[Stored]:
    """In the order of their ids; of every length that padding can be of."""
    return [Stored(id, "jpg", 4, 3, bytes([7]) * (500 + at)) for at, id in enumerate(sorted(map(name, range(count))))]


def fallen(ids: list[str], shards: int) -> list[set[str]]:
    found: list[set[str]] = [set() for _ in range(shards)]
    for id in ids:
        found[bucket_of(id, shards)].add(id)
    return found


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_a_bucket_is_what_its_bits_say(shards: int, number: int) -> None:
    id = f"{number:064x}"
    into = buckets(shards * module.PER_SHARD)
    assert [bucket.number for bucket in into] == list(range(shards))
    here = [bucket for bucket in into if number_of(id) % (1 << bucket.bits) == bucket.number]
    assert [bucket.number for bucket in here] == [bucket_of(id, shards)]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_buckets_that_share_an_id_overlap(before: int, after: int, number: int) -> None:
    id = f"{number:064x}"
    one, other = (buckets(count * module.PER_SHARD)[bucket_of(id, count)] for count in (before, after))
    assert one.overlaps(other) and other.overlaps(one)


def test_buckets_that_share_none_do_not() -> None:
    for count in range(1, 20):
        into = buckets(count * module.PER_SHARD)
        assert not any(one.overlaps(other) for one in into for other in into if one != other)
    assert not Bucket(1, 0).overlaps(Bucket(2, 3)) and Bucket(1, 1).overlaps(Bucket(2, 3))


def test_one_more_image_changes_one_shard_and_one_more_shard_halves_one_other() -> None:
    ids = [name(number) for number in range(4000)]
    for shards in range(1, 30):
        before, after = fallen(ids, shards), fallen(ids, shards + 1)
        changed = [number for number in range(shards) if before[number] != after[number]]
        assert len(changed) == 1
        assert before[changed[0]] == after[changed[0]] | after[shards]
        assert max(map(len, after)) < 3 * len(ids) / (shards + 1)


def test_there_are_as_many_shards_as_images_need() -> None:
    assert [len(buckets(count)) for count in (0, 1, 512, 513, 1024, 1025, 300_000)] == [1, 1, 1, 2, 2, 3, 586]


def test_a_shard_is_a_tar_whose_bytes_depend_on_its_images_alone(tmp_path: Path) -> None:
    images = stored(5)
    shard = write_shard(tmp_path / "a.tar", images)
    assert write_shard(tmp_path / "b.tar", images).sha256 == shard.sha256
    whole = (tmp_path / "a.tar").read_bytes()
    assert hashlib.sha256(whole).hexdigest() == shard.sha256
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [(each.name, each.mtime, each.mode) for each in tar] == [
            (f"{image.id}-4x3.jpg", 0, 0o644) for image in images
        ]
        for image in images:
            file = tar.extractfile(image.name)
            assert file is not None and file.read() == image.content
    for place, image in zip(shard.places, images, strict=True):
        assert whole[place["offset"] : place["offset"] + place["bytes"]] == image.content
        assert (place["width"], place["height"]) == (4, 3)
    seen: list[Stored] = []
    again = read_shard(tmp_path / "a.tar", seen.append)
    assert seen == images
    assert (again.sha256, again.ids, again.places.tolist()) == (shard.sha256, shard.ids, shard.places.tolist())


@pytest.mark.parametrize("keep", [512, 514])
def test_a_shard_that_is_cut_off_in_an_image_says_so(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.tar"
    write_shard(path, stored(3))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(NoShard, match="it is cut off"):
        read_shard(path)


@pytest.mark.parametrize("keep", [0, 100, 512, 600, 1800, -1024])
def test_a_shard_that_is_cut_off_is_none(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.tar"
    write_shard(path, stored(3))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(NoShard):
        read_shard(path)


@pytest.mark.parametrize("damage", [b"", b"no tar at all", b"x" * 4096])
def test_what_is_no_tar_is_no_shard(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(damage)
    with pytest.raises(NoShard):
        read_shard(tmp_path / "a.tar")


@pytest.mark.parametrize("other", ["../../x.jpg", "a.jpg", f"{'a' * 64}-4x3.eps", f"{'a' * 64}-4x3.jpg/"])
def test_a_shard_with_anything_else_in_it_is_none(tmp_path: Path, other: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(other)
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(NoShard, match="it holds"):
        read_shard(tmp_path / "a.tar")


def test_a_link_in_a_shard_is_none_of_ours(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(f"{'a' * 64}-4x3.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(NoShard, match="it holds"):
        read_shard(tmp_path / "a.tar")


def test_shards_are_called_as_webdatasets_braces_count() -> None:
    assert [shard_name(number) for number in (0, 585)] == ["000000.tar", "000585.tar"]
