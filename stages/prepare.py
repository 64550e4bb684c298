"""Read the images, split them, and write them as memory-mapped arrays."""


def prepare() -> None:
    """Read the images, split them, and write them as memory-mapped arrays."""
    from pipeline.base import files
    from pipeline.base.paths import DATA, resolve
    from pipeline.config.data import Data
    from pipeline.console.progress import say
    from pipeline.data.prepare import prepare
    from pipeline.planning.specs.prepare import PrepareSpec
    from pipeline.planning.specs.spec import read_spec

    spec = read_spec("prepare", PrepareSpec)
    data = Data(**spec.data)
    with files.replacing(DATA) as folder:
        folder.mkdir()
        header = prepare(data, resolve(data.root), spec.seed, folder)
    say(f"prepare: {data.source}, {header['counts']}")
