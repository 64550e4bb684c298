"""Small photographs, made up: smooth, so that JPEG is near to what it was given."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.data.encoded import EncodedImages, Shards
from pipeline.data.shards import PLACE, Stored, shard_name, write_shard


def photograph(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """Of (width, height) pixels."""
    few = np.random.default_rng(seed).integers(0, 256, (4, 5, len(mode)), dtype=np.uint8)
    return Image.fromarray(few.squeeze(), mode="L" if mode == "L" else "RGB").resize(size, Image.Resampling.BICUBIC)


def file(picture: Image.Image, form: str = "JPEG", **settings: Any) -> bytes:
    """What a file of that format holds."""
    made = io.BytesIO()
    picture.save(made, form, **settings)
    return made.getvalue()


class Files:
    """Files in memory, as a source hands them over; `asked` counts how often each is read."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents = contents
        self.names = [f"{number}.jpg" for number in range(len(contents))]
        self.asked = [0] * len(contents)

    def read(self, row: int) -> bytes:
        self.asked[row] += 1
        return self.contents[row]

    def stamp(self, row: int) -> tuple[int, int]:
        return len(self.contents[row]), 0


def write(root: Path, counts: dict[str, int], size: tuple[int, int] = (40, 30)) -> Path:
    """`root/<class>/<number>.jpg`, each another one."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:03}.jpg").write_bytes(file(photograph(1000 * label + number, size)))
    return root


def stored(
    folder: Path,
    sizes: list[tuple[int, int]],
    edge: int,
    threads: int = 1,
    channels: int = 3,
    recorded: dict[str, str] | None = None,
) -> EncodedImages:
    """Photographs of these (width, height) in a shard below `folder`, as a prepared folder of `data.size` has them."""
    folder.mkdir(parents=True)
    mode = {1: "L", 3: "RGB"}[channels]
    images = [
        Stored(f"{row:064x}", "jpg", *size, file(photograph(row, size, mode), quality=90))
        for row, size in enumerate(sizes)
    ]
    shard = write_shard(folder / shard_name(0), images)
    places = np.zeros(len(sizes), dtype=PLACE)
    places[:] = shard.places
    return EncodedImages(Shards(folder, recorded), places, channels, edge, threads)
