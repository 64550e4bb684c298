"""What a function takes, read from its signature; its file is never imported.

The file that implements a thing is the only place that declares its parameters: what it is handed as
positional parameters and its settings as keyword-only ones. Parsing instead of importing keeps torch
out of whoever only wants to check params.yaml.
"""

import __future__

import ast
import builtins
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from pipeline.base.errors import UserError
from pipeline.config import numbers
from pipeline.config.section import unknown, wording

_NAMES = {**vars(builtins), **vars(numbers), "Literal": Literal}


@cache
def settings(path: Path, name: str, exclude: frozenset[str] = frozenset()) -> type[BaseModel]:
    """Model of the keyword-only parameters of function `name` in the file `path`, less those in `exclude`.

    Annotations are built from builtins, `Literal` and `pipeline.config.numbers`, defaults from literals;
    a parameter without default is required. The model is frozen and refuses unknown keys, unless the function has a
    `**parameter` that takes them.
    """
    arguments = _definition(path, name, "__init__").args
    # What takes any further argument checks them itself.
    extra: Literal["allow", "forbid"] = "allow" if arguments.kwarg else "forbid"
    fields: dict[str, Any] = {
        parameter.arg: (_annotation(parameter, path), ... if default is None else ast.literal_eval(default))
        for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if parameter.arg not in exclude
    }
    return create_model(name, __config__=ConfigDict(frozen=True, extra=extra), **fields)


def validated(model: type[BaseModel], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` checked by `model`, with its defaults; the first fault is a `UserError`."""
    for key in values:
        if key not in model.model_fields and model.model_config.get("extra") != "allow":
            raise UserError(f"{where}: {unknown('key', str(key), model.model_fields)}")
    try:
        return model.model_validate(dict(values)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *(str(part) for part in first["loc"])])
        raise UserError(f"{key}: {wording(first)}") from None


def needs(path: Path, name: str) -> tuple[str, ...]:
    """Names of the signals that `name` in the file `path` takes: positional parameters of the function, or of
    the class's `forward`."""
    parameters = _definition(path, name, "forward").args.args
    return tuple(parameter.arg for parameter in parameters if parameter.arg != "self")


def constant(path: Path, name: str) -> Any:
    """The literal that module `path` assigns to `name`; None where it does not."""
    for node in _body(path):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    return None


def alone(path: Path, name: str) -> Callable[..., Any] | None:
    """Function `name` of the file `path`, without the rest of the file; None where it has no such function.

    It sees builtins only, and imports within itself what else it needs: never torch, where plan calls it.
    """
    found = _find(path, name)
    if not isinstance(found, ast.FunctionDef):
        return None
    namespace: dict[str, Any] = {}
    # With annotations that are not evaluated: what they name, the file imports.
    flags = __future__.annotations.compiler_flag
    exec(compile(ast.Module([found], []), str(path), "exec", flags, dont_inherit=True), namespace)

    @wraps(namespace[name])
    def run(*arguments: Any, **keywords: Any) -> Any:
        try:
            return namespace[name](*arguments, **keywords)
        except NameError as error:
            raise UserError(f"{path.name}: {error}: `{name}` is run alone, so import within it what it needs") from None

    return run


@cache
def available(folder: Path, function: str | None = None) -> list[str]:
    """Modules of `folder` that define `function`, or a function of their own name where that is None, sorted.

    A module named like `function` is the front door to the others, not one of them.
    """
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if path.stem != function and _find(path, function or path.stem) is not None
    )


def class_name(name: str) -> str:
    """The class that a file may define in place of a function: fitnet_hint -> FitnetHint."""
    return "".join(part.capitalize() for part in name.split("_"))


def _definition(path: Path, name: str, method: str) -> ast.FunctionDef:
    """Function `name` of a file, or `method` of the class of that name."""
    found = _find(path, name)
    if isinstance(found, ast.ClassDef):
        found = next((n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == method), None)
    if found is None:
        raise UserError(f"{path.name} must define the function `{name}`, or the class `{class_name(name)}`")
    return found


def _find(path: Path, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    for node in _body(path):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.ClassDef) and node.name == class_name(name):
            return node
    return None


@cache
def _body(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_bytes(), filename=str(path)).body


def _annotation(parameter: ast.arg, path: Path) -> Any:
    match parameter.annotation:
        case None:
            raise UserError(f"{path.name}: parameter `{parameter.arg}` needs an annotation")
        case ast.Constant(value=str(text)):
            pass
        case expression:
            text = ast.unparse(expression)
    try:
        return eval(text, dict(_NAMES))
    except NameError as error:
        raise UserError(
            f"{path.name}: parameter `{parameter.arg}` is annotated `{text}`, but {error}: "
            "only builtins, Literal and the names of pipeline/config/numbers.py can be read without importing the file"
        ) from None
