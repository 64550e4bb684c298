"""YAML as DVC reads it: numbers of YAML 1.2, no key given twice; what cannot be read is one sentence."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml import MarkedYAMLError, ScalarNode, YAMLError

from pipeline.errors import UserError


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
    remedy = f"`git checkout {path.name}` brings the committed one back"
    try:
        return yaml.load(path.read_bytes(), _Loader)
    except FileNotFoundError:
        raise UserError(
            f"there is no {path.name} in {Path.cwd()}: run in the repository's top folder ({remedy})"
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path.name}{where}: {error.problem}: correct the line, or {remedy}") from None
    except RecursionError:
        raise UserError(f"{path.name} is nested too deeply: {remedy}") from None
    except (YAMLError, ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(f"{path.name} cannot be read as YAML ({reason}): {remedy}") from None
