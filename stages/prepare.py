"""Read the images, split them, and write them as memory-mapped arrays."""


def prepare() -> None:
    """Read the images, split them, and write them as memory-mapped arrays."""
    from pipeline import files, specs
    from pipeline.data.prepare import prepare
    from pipeline.paths import DATA, resolve
    from pipeline.progress import say
    from pipeline.sections.data import Data

    spec = specs.read("prepare")
    data = Data(**spec["data"])
    with files.replacing(DATA) as folder:
        folder.mkdir()
        header = prepare(data, resolve(data.root), spec["seed"], folder)
    say(f"prepare: {data.source}, {header['counts']}")
