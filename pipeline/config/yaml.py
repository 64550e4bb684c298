"""YAML as DVC reads it (version 1.2, by ruamel.yaml), no key given twice, and YAML that both read back.

PyYAML reads it, since training does without DVC and all that comes with it. Its scanner is that of DVC's reader, but of
itself it takes numbers and booleans as version 1.1 did.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml import (
    CollectionEndEvent,
    CollectionStartEvent,
    MappingNode,
    MarkedYAMLError,
    ScalarEvent,
    ScalarNode,
    YAMLError,
)
from yaml.resolver import Resolver

from pipeline.base import programs
from pipeline.base.errors import UserError

MERGED = re.compile(rb"^(?:<{7}|>{7}) ", re.MULTILINE)  # what git leaves of two sides that it cannot merge
PATIENCE = 10.0  # seconds for git
DEEPEST = 50  # our files have ten; at some thousands the loader in C would end the process
TAG = "tag:yaml.org,2002:"
# How a plain scalar looks that is no string, as in ruamel.yaml's table for version 1.2, and what it may begin with. The
# standard itself knows no `1_000` and no `0b1`, and calls `.5e1` a number. In all that is not here PyYAML is the same.
SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "float": (
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "int": (r"[-+]?(0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)", "-+0123456789"),
}
SHOWN = 40  # characters of a wrong value in a message
BASES = {"0b": 2, "0o": 8, "0x": 16}
Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML has it


class _Loader(Base):
    """PyYAML's safe loader, for version 1.2; by itself it would silently take the last of two equal keys."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in each if tag.removeprefix(TAG) not in SCALARS]
        for first, each in Resolver.yaml_implicit_resolvers.items()
    }
    bool_values: ClassVar = {**Base.bool_values, "y": True, "n": False}  # with the tag alone

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError):
            what = f"{str(node.value)[:SHOWN]!r} is no {node.tag.removeprefix(TAG)}"
            raise MarkedYAMLError(problem=what, problem_mark=node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        given: set[Hashable] = set()
        pairs = node.value if isinstance(node, MappingNode) else []
        for key in (key for key, _ in pairs if isinstance(key, ScalarNode)):
            found = key.value if key.tag == f"{TAG}merge" else self.construct_object(key)
            if found in given:
                raise MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            given.add(found)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        sign, digits = self._signed(node)
        base = BASES.get(digits[:2])
        return sign * (int(digits[2:], base) if base else int(digits))

    def construct_yaml_float(self, node: Any) -> float:
        sign, digits = self._signed(node)
        return sign * float(digits[1:] if digits.lower() in (".inf", ".nan") else digits)

    def _signed(self, node: Any) -> tuple[int, str]:
        text = self.construct_scalar(node).replace("_", "")
        return (-1 if text[0] == "-" else 1), text[text[0] in "+-" :]

    yaml_constructors: ClassVar = {
        **Base.yaml_constructors,
        f"{TAG}int": construct_yaml_int,
        f"{TAG}float": construct_yaml_float,
        f"{TAG}omap": Base.construct_undefined,  # DVC's mapping would be a list here
    }


class _Dumper(yaml.SafeDumper):
    """Quotes each string that a reader of either version would take for something else."""


for _kind, (_looks, _first) in SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"{TAG}{_kind}", re.compile(f"(?:{_looks})$"), list(_first))


def read_yaml(path: Path) -> Any:
    """The one document of a YAML file of the repository.

    Raises:
        UserError: The file is missing, unreadable, or no valid YAML; the line is named.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"there is no {path.name} in {Path.cwd()}: run in the repository's top folder ({remedy(path.name)})"
        ) from None
    except OSError as error:
        raise UserError(f"{path.name} cannot be read as YAML ({error.strerror}): {remedy(path.name)}") from None
    return parse(content, path.name)


def parse(content: bytes | str, name: str) -> Any:
    """The one document of YAML text that is, or is to be, the file `name`; what is wrong is a `UserError`."""
    whole = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
    if marked := MERGED.search(whole):
        line = whole.count(b"\n", 0, marked.start()) + 1
        raise UserError(
            f"{name}, line {line}: a merge left both sides here: keep one, or what is right of both, and take out the "
            "lines that begin with <<<<<<<, ======= and >>>>>>>"
        )
    try:
        return load(content)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{name}{where}: {error.problem}: correct the line, or {remedy(name)}") from None
    except YAMLError as error:
        raise UserError(f"{name} cannot be read as YAML ({' '.join(str(error).split())}): {remedy(name)}") from None


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: item for name, each in value.items() for key, item in flatten(each, f"{prefix}.{name}".strip(".")).items()
    }


def load(content: bytes | str) -> Any:
    """The one document of YAML text.

    Raises:
        YAMLError: It is no YAML to us or to DVC, or nests as none of our files does.
    """
    open_in_flow: list[bool] = []  # of each list and mapping that we are in: whether it is in brackets or braces
    for event in yaml.parse(content, Base):
        if isinstance(event, CollectionStartEvent):
            open_in_flow.append(bool(event.flow_style))
            if len(open_in_flow) > DEEPEST:
                raise YAMLError("it is nested too deeply")
        elif isinstance(event, CollectionEndEvent):
            open_in_flow.pop()
        elif isinstance(event, ScalarEvent) and any(open_in_flow) and not event.style and {*":?"} & {*event.value}:
            # The scanner of DVC's reader is older here.
            problem = f"{event.value!r} holds a ':' or '?' within brackets or braces, which DVC cannot read: quote it"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
    return yaml.load(content, _Loader)  # a safe loader: it makes no objects but plain ones


def dump(value: Any) -> str:
    """YAML text of plain values, keys in their order, that readers of version 1.1 and of version 1.2 read alike."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def remedy(name: str) -> str:
    """How to get a file of the repository's that can be used, where git has it and where it has not."""
    try:
        held = programs.run(["git", "cat-file", "-e", f"HEAD:./{name}"], PATIENCE).returncode == 0
    except UserError:  # there is no git
        held = False
    if held:
        return f"`git checkout {name}` brings the committed one back"
    return f"no git repository holds one for this folder: `cohobate init FOLDER` writes {name} anew, in another"
