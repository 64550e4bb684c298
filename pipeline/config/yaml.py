"""YAML as DVC reads it: numbers of YAML 1.2, no key given twice; what cannot be read is one sentence."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml import MarkedYAMLError, ScalarNode, YAMLError

from pipeline.base.errors import UserError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader would silently take the last of two equal keys, and `1e-4` for a text."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        given: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, ScalarNode)):
            if key.value in given:
                raise MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            given.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> Any:
    """The one document of a YAML file of the repository.

    Raises:
        UserError: The file is missing, unreadable, or no valid YAML; the line is named.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"there is no {path.name} in {Path.cwd()}: run in the repository's top folder ({_remedy(path.name)})"
        ) from None
    except OSError as error:
        raise UserError(f"{path.name} cannot be read as YAML ({error.strerror}): {_remedy(path.name)}") from None
    return parse(content, path.name)


def parse(content: bytes | str, name: str) -> Any:
    """The one document of YAML text that is, or is to be, the file `name`; what is wrong is a `UserError`."""
    try:
        return yaml.load(content, _Loader)  # a safe loader: it makes no objects but plain ones
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{name}{where}: {error.problem}: correct the line, or {_remedy(name)}") from None
    except RecursionError:
        raise UserError(f"{name} is nested too deeply: {_remedy(name)}") from None
    except (YAMLError, ValueError) as error:
        raise UserError(f"{name} cannot be read as YAML ({' '.join(str(error).split())}): {_remedy(name)}") from None


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: item for name, each in value.items() for key, item in flatten(each, f"{prefix}.{name}".strip(".")).items()
    }


def _remedy(name: str) -> str:
    return f"`git checkout {name}` brings the committed one back"
