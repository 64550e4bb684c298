"""`python -m pipeline import`: a checkpoint trained elsewhere as the safetensors file that params.yaml names.

The same content gives the same bytes, whatever the format and whatever wrapped it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic_core import PydanticCustomError
from safetensors.torch import save

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config import params
from pipeline.config.class_names import read_names
from pipeline.config.compress import Fresh
from pipeline.config.edited import differences, edited
from pipeline.config.network import NetworkSection, complete_architecture
from pipeline.config.section import unknown
from pipeline.config.yaml import flatten, parse, read_yaml
from pipeline.data import prepared
from pipeline.models.build import build, unsupplied
from pipeline.models.checkpoints import read
from pipeline.models.fit import LastLayer, fit
from pipeline.models.tensors import CLASSES
from pipeline.planning import graph
from pipeline.planning.planner import Planner, given
from pipeline.training.inputs import resolved, supplied
from pipeline.training.learn import fitted as within_budget

ALONE = ("student", "baseline", "direct", "teacher")
CHAINS = ("refinery", "born_again")
BEGINS = ("weights", "initial", "answers", "onnx")  # of which a network has one at most
PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Asked:
    """A network of params.yaml.

    Attributes:
        section: The keys that lead to its section.
        slot: Of a section with several networks, which of them.
    """

    architecture: dict[str, Any]
    input: dict[str, Any] | None
    section: tuple[str, ...]
    slot: str | None = None


def import_weights(
    file: Path,
    node: str = "teacher",
    architecture: str = "",
    *,
    ema: bool = False,
    head: str = "own",
    classes: Path | None = None,
    out: Path | None = None,
    dry: bool = False,
    write: bool = False,
) -> Iterator[str]:
    """Read, fit and write; yield what was done, and then the lines for params.yaml.

    Args:
        file: A file of weights, or a folder as of a model hub.
        node: The network of params.yaml that they are for.
        architecture: Another one than there stands, as YAML.
        ema: Whether to take the moving average.
        head: As of `fit`.
        classes: A file of the names of its classes.
        out: The file to write; without one, weights/<node>.safetensors.
        dry: Whether to write nothing.
        write: Whether to write into params.yaml, too; then what changes there is said in place of the lines.

    Raises:
        UserError: As of `read` and `fit`; there are no prepared images; a name is not one of params.yaml.
    """
    kind = next((each for each in get_args(LastLayer) if each == head), None)
    if kind is None:
        raise UserError(f"--head: {unknown('kind', head, get_args(LastLayer))}")
    target = _target(node)
    if architecture:
        target = replace(target, architecture=_architecture(architecture))
    data = prepared.read(DATA)
    held = read(file, ema)
    names = held.classes if classes is None else read_names(classes)
    input = resolved(node, target.architecture, target.input, data, imported=True)
    settings = within_budget(unsupplied(target.architecture), data, input)
    model = build(settings, **supplied(data, input))
    found = fit(model, held.tensors, str(file), classes=data.classes, names=names, head=kind)
    yield from (f"{file}: {note}" for note in (*held.notes, *found.notes))
    # One key: the order of several is not ours to decide, and equal content is to give equal bytes.
    content = save(found.tensors, {CLASSES: json.dumps(data.classes)} if found.named else None)
    out = out or Path(f"weights/{node}.safetensors")
    weights = {"file": str(out), "sha256": hashlib.sha256(content).hexdigest()} | (
        {"head": "new"} if kind == "new" else {}
    )
    key = "weights" if node == "teacher" and kind == "own" else "initial"
    values = {key: weights} | ({"architecture": target.architecture} if architecture else {})
    text = edited(PARAMS.read_text(), lambda content: _put(content, target, values)) if write else None
    said = _changed(text, dry) if text else ["", *_lines(target, values)]
    if not dry:
        files.write_bytes(out, content)
        if text:
            files.write_text(PARAMS, text)
    size = f"{len(found.tensors)} tensors, {len(content) / 1e6:.1f} MB"
    yield f"{out}: {size}{', not written' if dry else ''}{'' if write else '; for params.yaml:'}"
    yield from said


def _target(node: str) -> Asked:
    """The network of params.yaml that is called so."""
    read = params.read(PARAMS)
    planner = Planner(read, graph.read(Path("dvc.yaml")))
    found = {name: Asked(*_of(section), (name,)) for name in ALONE if (section := getattr(read, name))}
    found |= {f"method/{name}": Asked(*_of(each), ("method", name)) for name, each in read.method.items()}
    for name in CHAINS:
        if section := getattr(read, name):
            found[name] = Asked(*planner.of_chain(name, section)[:2], (name,))
    several = {"assistant": read.assistant} | ({"mutual": read.mutual} if read.mutual else {})
    for name, family in several.items():
        for slot, architecture in family.architectures.items():
            found[f"{name}/{slot}"] = Asked(architecture, given(family.inputs.get(slot)), (name,), slot)
    for name, step in read.compress.steps.items() if read.compress else ():
        if isinstance(step, Fresh):
            found[f"compress/{name}"] = Asked(*_of(step), ("compress", "steps", name))
    if node not in found:
        raise UserError(f"--node: {unknown('network', node, found)}")
    return found[node]


def _of(section: NetworkSection) -> tuple[dict[str, Any], dict[str, Any] | None]:
    return section.architecture, given(section.input)


def _architecture(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
        if not isinstance(value, dict):
            raise UserError("--architecture must be a mapping such as '{family: timm, name: resnet18}'")
        return complete_architecture(value)
    except yaml.YAMLError as error:
        raise UserError(f"--architecture is no YAML ({' '.join(str(error).split())})") from None
    except PydanticCustomError as error:
        raise UserError(f"--architecture: {error.message()}") from None


def _put(content: Any, target: Asked, values: Mapping[str, Any]) -> None:
    """Write what `_lines` shows into params.yaml's content, in place of whatever else the network began with."""
    section = content
    for key in target.section:
        if section.get(key) is None:
            section[key] = _flow({})
        section = section[key]
    gone = [key for key in BEGINS if key not in values and section.get(key) is not None]
    for key in gone:
        section[key] = None
    for key, value in values.items():
        if target.slot:
            section.setdefault(f"{key}s", {})[target.slot] = _flow(value)
        elif key in section or key != "initial":
            section[key] = _flow(value)
        else:
            section.insert(1, key, _flow(value))  # at its end it would come after the comments that follow


def _changed(text: str, dry: bool) -> list[str]:
    """What another text of params.yaml changes there.

    Raises:
        UserError: It makes no sense as params.yaml.
    """
    content = parse(text, PARAMS.name)
    params.check(content, PARAMS.name)
    now = "would be" if dry else "is"
    changes = differences(flatten(read_yaml(PARAMS)), flatten(content))
    return [f"{PARAMS}: {key} was {old}, {now} {new}" for key, old, new in changes]


def _flow(value: Mapping[str, Any]) -> Any:
    """A mapping on one line, as params.yaml has those of a network."""
    from ruamel.yaml.comments import CommentedMap

    found = CommentedMap(value)
    found.fa.set_flow_style()
    return found


def _lines(target: Asked, values: dict[str, Any]) -> list[str]:
    """What stands in params.yaml for a network, as YAML."""
    found: dict[str, Any] = values
    if target.slot:
        found = {f"{key}s": {target.slot: value} for key, value in values.items()}
    for key in reversed(target.section):
        found = {key: found}
    return yaml.safe_dump(found, sort_keys=False, width=1000).splitlines()
