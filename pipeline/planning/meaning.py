"""What one file of ours means: its code, less the text that does not count, and the files that its imports name.

Comments, docstrings, formatting and `if TYPE_CHECKING` do not count. Each reference to a name that an import of ours
binds stands as the file that it leads to, and the attribute there. The file is read, not imported.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from pipeline.base.errors import UserError

PACKAGE = "pipeline"  # an import of anything else is not followed; nothing in it imports `stages`
IGNORED = frozenset({"ctx", "kind", "type_comment"})
# Nodes whose texts are no names that they bind; `alias` is looked at with its import.
UNBINDING = frozenset({ast.Attribute, ast.keyword, ast.Constant, ast.alias, ast.Load, ast.Store, ast.Call, ast.Expr})


class ModuleFiles:
    """Where the modules of a project lie.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._packages: dict[Path, bool] = {}

    def file(self, module: str) -> Path | None:
        """The file of a module; None of a package, and of what is not there."""
        path = self.root.joinpath(*module.split("."))
        if self.is_package(path):
            return None
        file = path.with_suffix(".py")
        return file if file.is_file() else None

    def is_package(self, folder: Path) -> bool:
        """Whether a folder is a package, whose `__init__.py`, which any import of a part of it runs, must be empty."""
        if folder not in self._packages:
            init = folder / "__init__.py"
            self._packages[folder] = init.is_file()
            if init.is_file() and any(not _is_text(each) for each in ast.parse(init.read_bytes()).body):
                raise UserError(f"{init.relative_to(self.root)} holds code: move it to a module, and import that")
        return self._packages[folder]


@dataclass(frozen=True)
class _Target:
    """What an import of ours binds a name to: a module or package, or an attribute of a module."""

    module: str
    attribute: str = ""


# Text, or a file whose hash stands there.
Text = str | Path


@dataclass(frozen=True)
class Meaning:
    """What one file means: text and files, and imports beside each other, whose order does not count."""

    parts: list[Text | list[tuple[Text, ...]]]

    @cached_property
    def imports(self) -> dict[Path, None]:
        """The files of ours that it needs, each once."""
        beside = chain.from_iterable(chain.from_iterable(part for part in self.parts if isinstance(part, list)))
        return {each: None for each in chain(self.parts, beside) if isinstance(each, Path)}

    def hash(self, of: Mapping[Path, str]) -> str:
        """The hash of all, by the hash of each file in it."""
        texts = [
            str(sorted("".join(_text(each, of) for each in item) for item in part))
            if isinstance(part, list)
            else _text(part, of)
            for part in self.parts
        ]
        return hashlib.sha256("".join(texts).encode()).hexdigest()


def _text(part: Text, of: Mapping[Path, str]) -> str:
    return part if isinstance(part, str) else f"<{of[part]}>"


def read_meaning(files: ModuleFiles, path: Path) -> Meaning:
    """What the file `path` means.

    Raises:
        UserError: An import of ours cannot be followed.
    """
    return _Reader(files, path).read()


class _Reader:
    """Reads one file.

    A name counts as what it is bound to only where an import of ours is all that binds it in the whole file, to one
    thing, and nothing else is bound to that. Any other stays as it is written, and the import with it: nothing
    needs to be known of scopes.
    """

    def __init__(self, files: ModuleFiles, path: Path) -> None:
        self.files = files
        self.path = path
        # A file of a user, which only imports ours, has no name among them.
        is_ours = path.is_relative_to(files.root) and path.relative_to(files.root).parts[0] in (PACKAGE, "stages")
        self.module = ".".join(path.relative_to(files.root).with_suffix("").parts) if is_ours else ""
        self.tree = ast.parse(path.read_bytes(), str(path))
        self.parts: list[Text | list[tuple[Text, ...]]] = []
        self.bound = self._bound()

    def read(self) -> Meaning:
        self._write(self.tree)
        return Meaning(self.parts)

    def _bound(self) -> dict[str, _Target]:
        """The names that count as what they are bound to."""
        targets: dict[str, set[_Target]] = defaultdict(set)
        others: set[str] = set()
        for node in _running(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    found = self._target(node, alias)
                    name = alias.asname or (alias.name.split(".")[0] if isinstance(node, ast.Import) else alias.name)
                    if found is None:
                        others.add(name)
                    else:
                        targets[name].add(found)
            elif type(node) not in UNBINDING and not (type(node) is ast.Name and type(node.ctx) is ast.Load):
                # Whatever the syntax, a name that is bound is a text among the fields of its node.
                for name in node._fields:
                    value = getattr(node, name, None)
                    if isinstance(value, str):
                        others.add(value)
                    elif isinstance(value, list):
                        others.update(each for each in value if isinstance(each, str))
        owners: dict[_Target, set[str]] = defaultdict(set)
        for name, found in targets.items():
            for target in found:
                owners[target].add(name)
        return {
            name: target
            for name, (target, *more) in targets.items()
            if not more and name not in others and len(owners[target]) == 1
        }

    def _target(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> _Target | None:
        """What a name of an import statement is bound to; None where that is not ours."""
        if isinstance(node, ast.Import):
            if alias.name.split(".")[0] != PACKAGE:
                return None
            return _Target(alias.name if alias.asname else alias.name.split(".")[0])
        source = self._source(node)
        if source.split(".")[0] != PACKAGE:
            return None
        if alias.name == "*":
            raise self._refused(node, f"imports all of {source}: name what is needed")
        whole = f"{source}.{alias.name}"
        if self.files.file(source):
            return _Target(source, alias.name)
        if self.files.file(whole) or self._is_package(whole):
            return _Target(whole)
        raise self._refused(node, f"imports {whole}, which is not there")

    def _source(self, node: ast.ImportFrom) -> str:
        """The module or package that an import takes names from; for a relative one, from here."""
        if node.level == 0 or not self.module:
            return "" if node.level else node.module or ""
        above = self.module.split(".")[: -node.level]
        if not above:
            raise self._refused(node, "has an import from above the top folder")
        return ".".join([*above, *([node.module] if node.module else [])])

    def _is_package(self, module: str) -> bool:
        folder = self.files.root.joinpath(*module.split("."))
        return self.files.is_package(folder) or folder.is_dir()

    def _file(self, node: ast.AST, module: str) -> Path:
        path = self.files.file(module)
        if path is None:
            why = "a package" if self._is_package(module) else "not there"
            raise self._refused(node, f"uses {module}, which is {why}: import the module that is meant")
        for above in path.parents:
            if above == self.files.root:
                break
            self.files.is_package(above)
        return path

    def _refused(self, node: ast.AST, what: str) -> UserError:
        path = self.path.relative_to(self.files.root) if self.path.is_relative_to(self.files.root) else self.path.name
        return UserError(f"{path}, line {getattr(node, 'lineno', 0)} {what}")

    def _write(self, value: object) -> None:
        """Add what a part of the tree means.

        Written out here because `ast.dump` differs between Python versions: fields that are empty are left
        out, so that a field which a later version adds does not change the hash.
        """
        if isinstance(value, ast.AST):
            if not self._write_reference(value):
                self._write_node(value)
        elif isinstance(value, list):
            self._write_list(value)
        else:
            self.parts.append(repr(value))

    def _write_node(self, node: ast.AST, fields: tuple[str, ...] | None = None) -> None:
        self.parts.append(f"({type(node).__name__}")
        for name in fields or node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in IGNORED:
                continue
            self.parts.append(f" {name}=")
            self._write(value)
        self.parts.append(")")

    def _write_list(self, values: list[object]) -> None:
        self.parts.append("[")
        beside: dict[str, tuple[Text, ...]] = {}  # imports one after the other: a later one of a name wins
        for value in values:
            if _is_text(value):
                continue
            if isinstance(value, ast.Import | ast.ImportFrom):
                foreign = [alias for alias in value.names if not self._write_import(value, alias, beside)]
                if not foreign:
                    continue
                if len(foreign) < len(value.names):
                    value = ast.Import(foreign)
            if beside:
                self.parts.append(list(beside.values()))
                beside = {}
            if isinstance(value, ast.If) and _is_for_types(value):
                if value.orelse:
                    self._write_node(value, ("test", "orelse"))
            else:
                self._write(value)
        if beside:
            self.parts.append(list(beside.values()))
        self.parts.append("]")

    def _write_import(
        self, node: ast.Import | ast.ImportFrom, alias: ast.alias, beside: dict[str, tuple[Text, ...]]
    ) -> bool:
        """Note an import of ours among those beside it; False where it is not ours."""
        target = self._target(node, alias)
        if target is None:
            return False
        name = alias.asname or alias.name
        if isinstance(node, ast.Import):
            # `import a.b` binds `a`, and needs `a.b`.
            beside[name] = (self._file(node, alias.name), " ")
            bound = name.split(".")[0]
        else:
            bound = name
            if self.files.file(target.module):
                beside[name] = (self._file(node, target.module), f" {target.attribute}")
        if bound not in self.bound:
            if name not in beside or not self.files.file(target.module):
                raise self._refused(node, f"binds {bound} to a package, and something else does: import a module")
            beside[name] += (f" {name}",)
        return True

    def _write_reference(self, node: ast.AST) -> bool:
        """Add what a reference into our modules names; False where the node is none."""
        if isinstance(node, ast.Name):
            if node.id == "__import__":
                raise self._refused(node, "uses __import__: use importlib.import_module")
            target = self.bound.get(node.id)
            if target is None:
                return False
            self.parts += [self._file(node, target.module), f" {target.attribute}" if target.attribute else ""]
            return True
        if isinstance(node, ast.Call):
            module = self._loaded(node)
        elif isinstance(node, ast.Attribute):
            module = self._dotted(node)
        else:
            return False
        if module is None:
            return False
        self.parts.append(self._file(node, module))
        return True

    def _dotted(self, node: ast.expr) -> str | None:
        """The module or package that an expression such as `pipeline.training.loop` names; None of any other."""
        if isinstance(node, ast.Name):
            target = self.bound.get(node.id)
            return target.module if target and not target.attribute else None
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            if before is not None and not self.files.file(before):
                return f"{before}.{node.attr}"
        return None

    def _loaded(self, node: ast.Call) -> str | None:
        """The module of ours that `importlib.import_module` is given by a name that is written out; else None."""
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
        if name != "import_module" or not node.args or not isinstance(node.args[0], ast.Constant):
            return None
        module = str(node.args[0].value)
        if module.startswith("."):
            raise self._refused(node, f"loads {module}: write the module's whole name")
        return module if module.split(".")[0] == PACKAGE else None


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below that can run: all but the bodies of `if TYPE_CHECKING`."""
    waiting = [node]
    while waiting:
        parent = waiting.pop()
        for name, value in ast.iter_fields(parent):
            if name == "body" and isinstance(parent, ast.If) and _is_for_types(parent):
                continue
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, ast.AST):
                    yield child
                    waiting.append(child)


def _is_for_types(node: ast.If) -> bool:
    """Whether it is `if TYPE_CHECKING`."""
    test = node.test
    return (test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)) == "TYPE_CHECKING"


def _is_text(node: object) -> bool:
    """A string that stands alone as a statement: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
