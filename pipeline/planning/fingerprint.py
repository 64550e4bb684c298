"""What code a stage really uses, as one hash that ignores comments, docstrings and formatting.

The closure is found by reading imports, not by importing: it starts from the stage's own files and
follows every import of our packages, inside functions too. `__init__.py` files are empty and are not
followed; imports under `if TYPE_CHECKING` never run and are not followed either.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("pipeline",)


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Hash of the import closure of `files`, all below the project folder `root`."""
    total = hashlib.sha256()
    for path in sorted(closure(root, files)):
        total.update(f"{path.relative_to(root).as_posix()} {_meaning(path)}\n".encode())
    return total.hexdigest()


def closure(root: Path, files: Iterable[Path]) -> set[Path]:
    """All of our files that `files` import, directly or not, and `files` themselves."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(root, path))
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


@cache
def _imports(root: Path, path: Path) -> tuple[Path, ...]:
    """The files of our packages that one file imports."""
    found = []
    for node in _running(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from package import name`: the name may be a module or something inside one.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            file = root.joinpath(*name.split(".")).with_suffix(".py")
            if name.split(".")[0] in PACKAGES and file.is_file():
                found.append(file)
    return tuple(found)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run: all but the bodies of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


@cache
def _meaning(path: Path) -> str:
    """Hash of one file's parsed tree.

    Written out here because `ast.dump` differs between Python versions: fields that are empty are left
    out, so that a field which a later version adds does not change the hash.
    """
    parts: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, ast.AST):
            parts.append(f"({type(value).__name__}")
            for name, field in ast.iter_fields(value):
                if field is None or field == [] or name in {"ctx", "kind", "type_comment"}:
                    continue
                parts.append(f" {name}=")
                walk(field)
            parts.append(")")
        elif isinstance(value, list):
            parts.append("[")
            for item in value:
                if not _is_text(item):
                    walk(item)
            parts.append("]")
        else:
            parts.append(repr(value))

    walk(_tree(path))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _is_text(node: object) -> bool:
    """A string that stands alone as a statement: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
