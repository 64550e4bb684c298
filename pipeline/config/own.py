"""A user's own networks: where their file lies, and what the function there takes. The file is read, never imported."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.base.errors import UserError
from pipeline.config import numbers
from pipeline.config.section import unknown, wording

SUPPLIED = ("channels", "size", "classes")  # by the data, and by the network's input
Definition = ast.FunctionDef | ast.ClassDef
# Annotations that a value of params.yaml can be checked by.
PLAIN: dict[str, Any] = {
    **vars(numbers),
    **{each.__name__: each for each in (bool, int, float, str, list, tuple, dict)},
}


@dataclass(frozen=True)
class _Parameter:
    """Its annotation, where that is a plain one, and whether it must be given."""

    kind: Any
    is_required: bool


def repository() -> Path:
    """The folder of params.yaml, in which stages run."""
    return Path.cwd()


def path(module: str) -> Path:
    """The file that `architecture.module` names, relative to the repository.

    Raises:
        UserError: It is none, or lies outside.
    """
    try:
        found = (repository() / module).resolve()
        inside = found.is_relative_to(repository().resolve()) and not Path(module).is_absolute()
        if not inside:
            raise UserError(f".module: {module!r} does not lie in the repository: give a path relative to params.yaml")
        if found.suffix != ".py" or not found.is_file():
            raise UserError(f".module: {module!r} is no Python file in the repository: give one such as networks.py")
        return found
    except ValueError as error:  # a null byte
        raise UserError(f".module: {module!r} is no path ({error}): give one such as networks.py") from None


def shown(file: Path) -> str:
    """A file as messages name it: relative to the repository, where it lies there."""
    return str(file.relative_to(repository())) if file.is_relative_to(repository()) else str(file)


def takes(module: str, build: str) -> tuple[str, ...]:
    """Names of what the function takes. Raises `UserError` as of `check`."""
    return tuple(_parameters(path(module), build)[0])


def check(module: str, build: str, further: Mapping[str, Any], where: str) -> None:
    """Check the keys beside `module` and `build` by the signature of the function.

    Args:
        where: The key of params.yaml of the architecture.

    Raises:
        UserError: The file has no such function or is no Python; a key is none of its parameters, or its value not
            of the type that is annotated; or one that has no default is missing.
    """
    try:
        parameters, takes_any = _parameters(path(module), build)
        settings = [name for name in parameters if name not in SUPPLIED]
        for key, value in further.items():
            if key in SUPPLIED or (key not in parameters and not takes_any):
                raise UserError(f".{key}: {build} of {module}: {unknown('argument', key, settings)}")
            if key in parameters and (fault := _fault(parameters[key].kind, value)):
                raise UserError(f".{key}: {fault}")
        for name in settings:
            if parameters[name].is_required and name not in further:
                raise UserError(f".{name} is missing: {build} of {module} needs it")
    except UserError as error:
        raise UserError(f"{where}{error}") from None


def parsed(file: Path) -> ast.Module:
    """The code of a file. Raises `UserError` for what is no Python, with the line."""
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UserError(f"{shown(file)}{f', line {line}' if line else ''}: {getattr(error, 'msg', error)}") from None


def _parameters(file: Path, build: str) -> tuple[dict[str, _Parameter], bool]:
    """What a function takes by name, and whether it takes any name."""
    body = parsed(file).body
    found = {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if build not in found:
        raise UserError(f".build: {unknown(f'function of {shown(file)}', build, found)}")
    definition: Definition | None = found[build]
    is_class = isinstance(definition, ast.ClassDef)
    if isinstance(definition, ast.ClassDef):
        inside = (node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
        definition = next(inside, None)
    if definition is None:  # a class that has the constructor of another one
        return {}, True
    arguments = definition.args
    if arguments.posonlyargs:
        name = arguments.posonlyargs[0].arg
        raise UserError(f".build: {build} of {shown(file)} takes {name} by its place only: let it be given by name")
    positional = arguments.args[1:] if is_class else arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    both = [*zip(positional, defaults, strict=False), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    named = {each.arg: _Parameter(_kind(each.annotation), default is None) for each, default in both}
    return named, arguments.kwarg is not None


def _kind(annotation: ast.expr | None) -> Any:
    """The type that an annotation names; Any where it is not made of plain ones."""
    if annotation is None:
        return Any
    try:
        written = annotation.value if isinstance(annotation, ast.Constant) else None
        return _type(ast.parse(written, mode="eval").body if isinstance(written, str) else annotation)
    except (SyntaxError, LookupError, TypeError):  # of other names than the plain ones, or no type
        return Any


def _type(node: ast.expr) -> Any:
    """The type that an expression of plain names stands for; nothing of it is run."""
    match node:
        case ast.Constant(value=value) if value in (None, ...):
            return value
        case ast.Name(id=name):
            return PLAIN[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_type(left), _type(right)]  # noqa: UP007 of values, of which one may be None
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=parts)):
            return PLAIN[name][tuple(map(_type, parts))]
        case ast.Subscript(value=ast.Name(id=name), slice=part):
            return PLAIN[name][_type(part)]
    raise TypeError


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=False))


def _fault(kind: Any, value: Any) -> str | None:
    try:
        # A bool is a number to Python, and a mistake in params.yaml.
        if isinstance(value, bool) and kind in (int, float):
            return f"must be a number, not {value}"
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        return wording(error.errors()[0])
    return None
