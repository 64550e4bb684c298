"""The image files that a prepared split was made from, found in their source as `prepare` finds them."""

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.paths import resolve
from pipeline.config.data import Data
from pipeline.config.extension import SOURCES
from pipeline.data.examine import examine
from pipeline.data.groups import grouped
from pipeline.data.images import Files
from pipeline.data.keeping import Keeping
from pipeline.data.kept_looks import looks_file
from pipeline.data.names import SplitName
from pipeline.data.prepare import load
from pipeline.data.splits import choose


def files_of(
    split: SplitName, labels_N: np.ndarray, data: Data, seed: int, listing: object, keeping: Keeping
) -> tuple[Files, np.ndarray]:
    """The files of a source, and the rows there of a split whose prepared labels are `labels_N`, in its order.

    Args:
        seed: Of the splits.
        listing: What lay in the source when they were prepared, as its `files` has it.

    Raises:
        UserError: Its images are no files, or they are others than were prepared.
    """
    root = resolve(data.root)
    listed = SOURCES.helper(data.source, "files")
    changed = UserError(f"the images in {root} are others than were prepared: run `dvc repro`")
    if listed and listed(root, **data.settings) != listing:
        raise changed
    source = grouped(load(data, root), data.group)
    images = source.images
    if not isinstance(images, Files):
        raise UserError(f"data.source is {data.source}, whose images are no files: there is nothing else to answer")
    examined = examine(
        source, data.background, looks_file(keeping.state(), data.source, root) if keeping.state else None, keeping
    )
    rows_N = choose(source, examined.ids, data, seed, [*examined.faults]).rows[split]
    if not np.array_equal(source.labels[rows_N], labels_N):
        raise changed
    return images, rows_N
