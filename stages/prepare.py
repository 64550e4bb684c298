"""Read the images, split them, and write them as memory-mapped arrays."""


def prepare() -> None:
    """Read the images, split them, and write them as memory-mapped arrays."""
    from pipeline.base import files
    from pipeline.base.paths import DATA, resolve
    from pipeline.config.data import Data
    from pipeline.console.progress import log
    from pipeline.data.prepare import prepare
    from pipeline.planning import specs

    spec = specs.read("prepare")
    data = Data(**spec["data"])
    with files.replacing(DATA) as folder:
        folder.mkdir()
        header = prepare(data, resolve(data.root), spec["seed"], folder)
    log(f"prepare: {data.source}, {header['counts']}")
