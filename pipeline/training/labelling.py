"""The labels that a node's spec asks for, written a part at a time.

They go on where an earlier process was killed: only of the same network, in the same environment.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.config.input import Input
from pipeline.config.views import Views
from pipeline.console.progress import log, showing_labels
from pipeline.data.feed import fed
from pipeline.data.prepared import Prepared
from pipeline.labels.labeller import Forward, label
from pipeline.labels.layout import choose
from pipeline.models.shown import Shown
from pipeline.planning.specs.readers import EnsembleSpec
from pipeline.planning.specs.training import NetworkSpec
from pipeline.training.checkpoint import other_environment
from pipeline.training.device import Device
from pipeline.training.seen_views import held
from pipeline.training.state import holding

ENVIRONMENT = "environment.json"


def write_labels(
    spec: NetworkSpec | EnsembleSpec,
    stream: str,
    folder: Path,
    forward: Forward,
    data: Prepared,
    device: Device,
    compute_type: str,
    made: Any,
    made_hash: str,
    shown: Shown,
    input: Input | None = None,
    libraries: Mapping[str, str] | None = None,
) -> str:
    """Write the labels of the views of `stream` that the spec asks for, or what is left of them; return their hash.

    Args:
        forward: The network that labels, or the ensemble; it gives logits of `compute_type`.
        made: What decides these logits, as JSON; `made_hash` is its name in the labels' header.
        shown, input: What `forward` takes views as, and what its network is fed.
        libraries: The versions of what built it, where that is no code of ours.
    """
    settings, images = spec.labels, spec.forward
    count, classes = len(data.train), len(data.classes)
    format = choose(classes, compute_type, settings.kind, settings.k, settings.rank)
    views = min(settings.views, held(settings, count, classes))
    asked = [made, data.hash, images.views, images.views_seed, stream, settings.batch_size, format.as_json(), spec.code]
    environment = device.describe() | dict(libraries or {}) | (data.renderer or {})
    folder.mkdir()
    with (
        kept_parts(spec.node, files.digest(asked), environment) as parts,
        showing_labels(spec.node, views, (views + 1) * count) as show,
    ):
        return label(
            forward,
            fed(data.train.images, shown.renderings, device.where, device.room()),
            data,
            Views(**images.views),
            images.views_seed,
            stream,
            views,
            batch_size=settings.batch_size,
            format=format,
            folder=folder,
            parts=parts,
            device=device.where,
            teacher=spec.node,
            teacher_hash=made_hash,
            shown=shown,
            input=input,
            show=show,
        )


@contextmanager
def kept_parts(node: str, key: str, environment: dict[str, Any]) -> Iterator[Path]:
    """Yield the folder in which the labels of a node are written a part at a time; it is kept until `gc`.

    key: of what decides them. environment: what of libraries and hardware decides their last bits, too; where parts
    were written in another one, a sentence says so, and they go.
    """
    with holding(f"labels/{node}", key, log) as state:
        parts, begun = state.folder / "parts", state.folder / ENVIRONMENT
        before = files.read_json(begun) if begun.exists() else environment
        if changed := other_environment(before, environment):
            log(f"{node}: labels that are there are not used: {changed}")
            shutil.rmtree(parts, ignore_errors=True)
        if changed or not begun.exists():
            files.write_json(begun, environment)
        parts.mkdir(exist_ok=True)
        state.finished.unlink(missing_ok=True)
        yield parts
        state.finished.touch()
