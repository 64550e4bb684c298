"""A process that decodes stored pictures and cuts views of them, for `data.cutters`, which starts it.

It reads requests from its standard input until that is closed, as it is when whoever asked has ended in whatever way;
writes pixels into memory that both share, and answers each request when they are there. It imports no torch.

Legend: K rows of a request, R renderings, C channels, H, W edges of a stored picture, S edge of a view.
"""

from __future__ import annotations

import json
import mmap
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.colours import Colour
from pipeline.data.encoded import EncodedImages, Shards
from pipeline.data.framing import cut, pixels
from pipeline.data.shards import PLACE

MOST = 16  # rows of a request
LENGTH = struct.Struct("<I")  # of what follows it, in bytes or rows


@dataclass(frozen=True)
class CutSettings:
    """What all requests have in common.

    Attributes:
        shards: The folder where pictures lie; whoever asks has verified them.
        sizes: Edges of a view, one for each rendering.
        views: The file descriptor of the memory for views: of each rendering `MOST`.
        kept: That of the memory where decoded pictures are kept; None where they are decoded each time.
        kept_bytes: How large it is.
    """

    shards: str
    channels: int
    background: Colour
    sizes: Sequence[int]
    views: int
    kept: int | None
    kept_bytes: int

    def encode(self) -> bytes:
        """As the first thing that the process reads."""
        content = json.dumps(asdict(self)).encode()
        return LENGTH.pack(len(content)) + content

    @property
    def row(self) -> np.dtype:
        """A row of a request: where its picture lies, where it is kept once decoded, the boxes of its crops."""
        return np.dtype([("place", PLACE), ("kept", "<i8"), ("boxes", "<i8", (len(self.sizes), 4))])

    @property
    def bytes(self) -> int:
        """Of the memory for views."""
        return MOST * self.channels * sum(size**2 for size in self.sizes)

    def arrays(self, memory: mmap.mmap) -> list[np.ndarray]:
        """The views in that memory: of each rendering uint8 (MOST, C, S, S)."""
        found, start = [], 0
        for size in self.sizes:
            shape = (MOST, self.channels, size, size)
            count = int(np.prod(shape))
            found.append(np.frombuffer(memory, np.uint8, count, start).reshape(shape))
            start += count
        return found


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests to the end: with an empty reply, or with a sentence that says why there are no views."""
    given = json.loads(requests.read(_length(requests)))
    asked = CutSettings(**given | {"background": tuple(given["background"])})
    views_RKCSS = asked.arrays(mmap.mmap(asked.views, asked.bytes))
    kept = None if asked.kept is None else mmap.mmap(asked.kept, asked.kept_bytes)
    shards = Shards(Path(asked.shards), None)
    while count := _length(requests):
        rows_K = np.frombuffer(requests.read(count * asked.row.itemsize), asked.row)
        images = EncodedImages(shards, rows_K["place"], asked.channels, asked.sizes[0], 1, asked.background)
        reply = b""
        try:
            for at, row in enumerate(rows_K):
                boxes_R4 = row["boxes"].tolist()
                if kept is None:
                    made = _views(images, at, boxes_R4, asked.sizes)
                else:
                    made = _views_of(_decoded(images, at, kept, int(row["kept"])), boxes_R4, asked.sizes)
                for view_KCSS, view_CSS in zip(views_RKCSS, made, strict=True):
                    view_KCSS[at] = view_CSS
        except UserError as error:
            reply = str(error).encode()
        replies.write(LENGTH.pack(len(reply)) + reply)
        replies.flush()


def _views(images: EncodedImages, at: int, boxes_R4: Sequence[Sequence[int]], sizes: Sequence[int]) -> list[np.ndarray]:
    """Of one picture, decoded once: of each rendering uint8 (C, S, S)."""
    both = [*zip(boxes_R4, sizes, strict=True)]
    return images.shown(at, lambda picture: [pixels(cut(picture, box, size), None) for box, size in both])


def _views_of(whole: np.ndarray, boxes_R4: Sequence[Sequence[int]], sizes: Sequence[int]) -> list[np.ndarray]:
    """The same of a picture that was decoded, uint8 (H, W) or (H, W, C)."""
    from PIL import Image

    height, width = whole.shape[:2]
    found = []
    for (y, x, h, w), size in zip(boxes_R4, sizes, strict=True):
        part, y_x = whole, (y, x)
        if 0 <= y <= y + h <= height and 0 <= x <= x + w <= width:  # of a large picture a small part is copied
            part, y_x = np.ascontiguousarray(whole[y : y + h, x : x + w]), (0, 0)
        found.append(pixels(cut(Image.fromarray(part), (*y_x, h, w), size), None))
    return found


def _decoded(images: EncodedImages, at: int, kept: mmap.mmap, start: int) -> np.ndarray:
    """A picture where it is kept, decoded if it is not there yet, as the first byte says; uint8 (H, W) or (H, W, C)."""
    width, height = images.sizes[at].tolist()
    channels = images.shape[1]
    shape = (height, width) if channels == 1 else (height, width, channels)
    whole = np.frombuffer(kept, np.uint8, height * width * channels, start + 1).reshape(shape)
    if not kept[start]:
        whole[:] = images.shown(at, np.asarray)
        kept[start] = 1
    return whole


def _length(requests: BinaryIO) -> int:
    """Of what comes next; 0 at the end."""
    found = requests.read(LENGTH.size)
    return LENGTH.unpack(found)[0] if len(found) == LENGTH.size else 0


def main() -> None:
    """Serve whoever started this, for as long as that lives: a signal to both is its to answer."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
