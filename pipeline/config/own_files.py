"""The files of the repository that a user's own network is made of: read, never imported.

Installed packages are not followed, nor is a file that is read as data or imported by a name that is not written out.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.config import own

OURS = "pipeline"


def closure(start: Path) -> list[Path]:
    """The file `start` and all files of the repository, less ours, that it imports, sorted."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported(path, start.parent))
    return sorted(found)


def libraries(module: str, known: tuple[str, ...]) -> list[str]:
    """Those of the known packages that the file `module`, or what it imports of the repository, imports."""
    names = {
        name.partition(".")[0] for path in closure(own.path(module)) for _, _, name, _ in _imports(own.parsed(path))
    }
    return [each for each in known if each in names]


def _imported(path: Path, beside: Path) -> Iterator[Path]:
    """The files of the repository that a file imports, and the `__init__.py` of each package on the way."""
    for line, level, module, names in _imports(own.parsed(path)):
        parts = module.split(".") if module else []
        if level:
            folder = path.parents[level - 1]
            found = [*_files(folder, parts, names)]
            if not found:
                raise UserError(f"{own.shown(path)}, line {line}: there is no {'.' * level}{module} in the repository")
            yield from found
        elif parts[0] != OURS:
            # As Python looks for it: beside the file that is named, then in the repository.
            yield from next((each for top in (beside, own.repository()) if (each := [*_files(top, parts, names)])), [])


def _files(folder: Path, parts: list[str], names: list[str]) -> Iterator[Path]:
    """Of `from folder.parts import names`, all files that this runs; none where the first is not there."""
    for part in parts:
        if (file := folder / f"{part}.py").is_file():
            yield file
            return
        folder = folder / part
        if not folder.is_dir():
            return
        if (init := folder / "__init__.py").is_file():
            yield init
    if not parts and (init := folder / "__init__.py").is_file():
        yield init
    for name in names:
        yield from _files(folder, [name], [])


def _imports(tree: ast.Module) -> Iterator[tuple[int, int, str, list[str]]]:
    """Of each import: line, level (dots), module and the names that are taken of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, 0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.level, node.module or "", [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
                yield node.lineno, 0, first.value, []
