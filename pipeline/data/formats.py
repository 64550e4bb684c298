"""The image formats that are read, and nothing else: what lists files and what tells how to read them asks here."""

# Pillow's name of each, which a file's content decides, and the suffixes by which folders are searched. A camera's JPEG
# with a second picture inside (MPO) is a JPEG. Only decoders that read bytes and start no other program belong here.
FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "PPM": (".ppm",),
    "TIFF": (),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
