"""The image formats that are read, and nothing else: what lists files and what tells how to read them asks here."""

# Pillow's name of each, which a file's content decides, and the suffixes by which folders are searched. A camera's JPEG
# with a second picture inside (MPO) is a JPEG. Only decoders that read bytes and start no other program belong here.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

HEAD = 64  # bytes of a file that `is_heif` looks at
HEVC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is HEIF with a picture in HEVC, as phones write it.

    AVIF is the same container with another picture, and says so. What they hold stands in the first box: `ftyp`, the
    main brand, a version, and the brands that the file fits, too (ISO/IEC 14496-12, 4.3; 23008-12, annex B).
    """
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return head[4:8] == b"ftyp" and not HEVC.isdisjoint({head[at : at + 4] for at in (8, *range(16, end, 4))})
