"""What decodes and encodes images here, and its version: others may give other pixels."""

from importlib.metadata import distributions

PACKAGES = ("pillow", "pillow-heif")
STORED = ("pillow", "libjpeg_turbo", "webp")  # what decodes stored images, and resizes them
LIBRARIES = ("libjpeg_turbo", "webp", "avif", "zlib", "zlib_ng", "libtiff", "littlecms2")  # by Pillow's name


def decoders() -> dict[str, str]:
    """Name -> version, sorted by name."""
    # Pillow is needed where pictures are decoded, not where prepared data are read.
    from PIL import features

    known = {*features.features, *features.modules, *features.codecs}
    libraries = {name: features.version(name) for name in LIBRARIES if name in known}
    packages = {each.name.lower(): each.version for each in distributions() if each.name.lower() in PACKAGES}
    return {name: version for name, version in sorted((libraries | packages).items()) if version}


def renderer() -> dict[str, str]:
    """What makes views of stored images, of `decoders`: other versions may give other pixels, and so other views."""
    return {name: version for name, version in decoders().items() if name in STORED}
