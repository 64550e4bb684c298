"""The layers of a network that terms on features can compare: their names, for `layers` in params.yaml, and shapes."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config import params
from pipeline.config.input import of_json
from pipeline.config.section import unknown
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.training import TrainingSpec

KINDS = {"embedding": "what the last layer reads", "logits": "what it gives"}


def lines(name: str) -> list[tuple[str, ...]]:
    """Cells of the table, header first: a row for each layer of the network of a node, in order, `logits` last.

    It need not have run, but the data must be prepared, as a network is built for their size.

    Raises:
        UserError: There is no such node, or its network is that of a node before it, which has not run.
    """
    from pipeline.models.build import rebuild
    from pipeline.models.taps import shapes

    architecture = _architecture(name)
    found = shapes(rebuild(architecture), architecture["channels"], architecture["size"])
    rows = [(layer, "x".join(str(each) for each in shape), _kind(layer, len(shape))) for layer, shape in found.items()]
    return [("layer", "shape", "what it is"), *rows]


def _kind(layer: str, axes: int) -> str:
    if layer in KINDS:
        return KINDS[layer]
    return "map: channels, height, width" if axes == 3 else "features"


def _architecture(name: str) -> dict[str, Any]:
    """That of the node as it is planned, else as it was trained."""
    specs = build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    planned = {key: spec for key, spec in specs.items() if isinstance(spec, TrainingSpec)}
    if name not in planned:
        raise UserError(unknown("node that is trained", name, planned))
    spec = planned[name]
    if spec.training.architecture is None and not spec.training.members:
        trained = node.read(name).architecture
        assert trained is not None
        return trained
    from pipeline.training.inputs import supplied
    from pipeline.training.learn import sized

    data = prepared.read(DATA)
    training = sized(spec, data, imported=bool(getattr(spec, "weights", None))).training
    assert training.architecture is not None
    return training.architecture | supplied(data, of_json(training.input))
