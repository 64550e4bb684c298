"""Images that belong together, by a pattern on their names: shots of one scene, slices of one patient."""

from __future__ import annotations

import re
from dataclasses import replace

from pipeline.base.errors import UserError
from pipeline.base.signals import TookTooLong, limited
from pipeline.data.images import Source, names_of
from pipeline.data.names import nfc, some

SECONDS = 10  # for all names of a source that a pattern may need, and for each million of them


def grouped(source: Source, pattern: str | None) -> Source:
    """The source, with what the one group of `pattern` finds in each name as the group of that image.

    A name in which it finds nothing has no group. It is a regular expression of Python's, searched for anywhere in the
    name below `data.root`.

    Raises:
        UserError: The images have no names, or groups already; it is found in no name, or takes too long.
    """
    if pattern is None:
        return source
    names = names_of(source.images)
    if names is None:
        raise UserError("params.yaml: data.group has no effect where images are no files: leave it out")
    if source.groups is not None:
        raise UserError("params.yaml: data.group has no effect where the source names groups itself: leave it out")
    search = re.compile(pattern).search
    seconds = SECONDS * (1 + len(names) // 10**6)
    try:
        with limited(seconds):  # `(a+)+b` takes for ever; Python asks for signals while it searches
            found = [search(nfc(name)) for name in names]
    except TookTooLong:
        raise UserError(
            f"params.yaml: data.group {pattern!r} takes more than {seconds} seconds: write it without a repetition "
            "within another"
        ) from None
    groups = tuple((each[1] or None) if each else None for each in found)
    if not any(groups):
        raise UserError(
            f"params.yaml: data.group {pattern!r} finds no group in any name, such as {names[0]!r}: correct it"
        )
    lone = [name for name, group in zip(names, groups, strict=True) if group is None]
    said = (
        [f"{len(lone):,} of {len(names):,} images have no group by data.group, and stand alone: {some(lone)}"]
        if lone
        else []
    )
    return replace(source, groups=groups, left_out=[*source.left_out, *said])
