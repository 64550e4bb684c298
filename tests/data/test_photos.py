"""Every photograph is read, and as it was when it was recorded: see `tests.data.photos`."""

import json

import numpy as np
import pytest

from pipeline.data.formats import FORMATS
from tests.data.folders import HEIF
from tests.data.photos import PHOTOS, RECORD, checksum, decoders, parts, photos, read

RECORDED = json.loads(RECORD.read_text())
BOUND = 1.5  # levels: a half of the record's rounding, and one of another decoder
pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs do not lie beside the repository")


def test_every_file_is_of_a_format_on_the_list() -> None:
    found = {path for path in PHOTOS.rglob("*") if path.is_file()}
    assert {path for kind in FORMATS for path in photos(kind)} == found
    assert {path.relative_to(PHOTOS).as_posix() for path in found} == {
        name for each in RECORDED["formats"].values() for name in each["files"]
    }


@pytest.mark.parametrize("kind", [*RECORDED["formats"]])
def test_every_photograph_looks_as_recorded(kind: str) -> None:
    if kind == "HEIF" and not HEIF:
        pytest.skip("HEIC needs the package pillow-heif")
    recorded = RECORDED["formats"][kind]
    pixels = read(photos(kind))
    for (name, levels), each in zip(recorded["files"].items(), pixels, strict=True):
        off = abs(parts(each) - np.frombuffer(bytes.fromhex(levels), np.uint8)).max()
        assert off <= BOUND, f"{name} is {off:.1f} levels off"
    if all(RECORDED["decoders"][name] == version for name, version in decoders().items()):
        assert checksum(pixels) == recorded["checksum"]
