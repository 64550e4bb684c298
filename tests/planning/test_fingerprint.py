"""The code's fingerprint follows meaning: neither text nor place."""

import ast
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.planning import fingerprint as module
from pipeline.planning import units
from pipeline.planning.fingerprint import closure, fingerprint
from pipeline.planning.meaning import PACKAGE

B = "def g(x):\n    return x + 1\n"
A = (
    "from typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from pipeline.d import D\n"
    'def f(x: "D"):\n    """Text."""\n    from pipeline import b\n    return b.g(x)  # why\n'
    "def h():\n    import pipeline.e\n    return pipeline.e.E\n"
)
PROJECT = {"a": A, "b": B, "c": "C = 1\n", "d": "class D: ...\n", "e": "E = 0.5\n"}


def of(folder: Path, modules: Mapping[str, str], first: str = "a") -> str:
    """The fingerprint of module `first` of a package made of these, as a fresh process would find it."""
    shutil.rmtree(folder / "pipeline", ignore_errors=True)
    for name, text in modules.items():
        path = folder.joinpath("pipeline", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in {folder / "pipeline", *(path.parent for path in (folder / "pipeline").rglob("*.py"))}:
        if not (package / "__init__.py").exists():
            (package / "__init__.py").write_text('"""Empty."""\n')
    module._project.cache_clear()
    return fingerprint(folder, folder.joinpath("pipeline", *first.split(".")).with_suffix(".py"))


def edited(modules: Mapping[str, str], name: str, old: str, new: str) -> dict[str, str]:
    assert old in modules[name]
    return {**modules, name: modules[name].replace(old, new)}


def test_closure_follows_imports_that_run(tmp_path: Path) -> None:
    of(tmp_path, PROJECT)
    assert {path.stem for path in closure(tmp_path, [tmp_path / "pipeline" / "a.py"])} == {"a", "b", "e"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a", "# why", "# because"),
        ("a", '"""Text."""', '"""Other text."""'),
        ("a", "return b.g(x)", "return (\n        b.g(x)\n    )"),
        ("a", "from pipeline.d import D", "from pipeline.e import D"),
        ("c", "C = 1", "C = 2"),
        ("d", "class D: ...", "class D:\n    x = 1"),
    ],
)
def test_text_and_strangers_do_not_count(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert of(tmp_path, edited(PROJECT, name, old, new)) == of(tmp_path, PROJECT)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a", "b.g(x)", "b.g(x, 1)"),
        ("a", "b.g(x)", "b.h(x)"),
        ("b", "+ 1", "- 1"),
        ("b", "+ 1", "+ 2"),
        ("b", "x + 1", "1 + x"),
        ("e", "0.5", "0.25"),
        ("a", "pipeline.e.E", "pipeline.c.E"),
    ],
)
def test_meaning_counts(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert of(tmp_path, edited(PROJECT, name, old, new)) != of(tmp_path, PROJECT)


def test_it_is_the_same_in_every_python(tmp_path: Path) -> None:
    """Else an update of Python would train everything again."""
    text = A + 'class K: ...\ndef k(*, y=1, **z) -> int: return f"{y!r:>{3}} {z}"\n'
    golden = "3821ad41ed565d48e19f71e849b41e7602275dcac937abe79c18d58176502f57"
    assert of(tmp_path, {**PROJECT, "a": text}) == golden


MODULE = (
    "from pipeline import b\ndef f(x): return b.g(x)",
    "from pipeline import b as c\ndef f(x): return c.g(x)",
    "import pipeline.b\ndef f(x): return pipeline.b.g(x)",
    "import pipeline.b as c\ndef f(x): return c.g(x)",
    "from . import b\ndef f(x): return b.g(x)",
    "from pipeline.deep import b\ndef f(x): return b.g(x)",
    "import pipeline.deep.b\ndef f(x): return pipeline.deep.b.g(x)",
    "from .deep import b as c\ndef f(x): return c.g(x)",
)
NAME = (
    "from pipeline.b import g\ndef f(x): return g(x)",
    "from pipeline.b import g as k\ndef f(x): return k(x)",
    "from .b import g\ndef f(x): return g(x)",
    "from pipeline.deep.b import g\ndef f(x): return g(x)",
)
INSIDE = (
    "def f(x):\n    from pipeline import b\n    return b.g(x)",
    "def f(x):\n    import pipeline.deep.b as c\n    return c.g(x)",
)
LOADED = (
    'import importlib\ndef f(x): return importlib.import_module("pipeline.b").g(x)',
    'import importlib\ndef f(x): return importlib.import_module("pipeline.deep.b").g(x)',
)
ELSE = (
    "if TYPE_CHECKING:\n    x = 1\nelse:\n    from pipeline import b\n    b.g(1)",
    "if TYPE_CHECKING:\n    import os\nelse:\n    from pipeline.deep import b\n    b.g(1)",
)
# What something else binds, too, is no longer known by what it names, but still by the content of that.
SHADOWED = (
    "from pipeline import b\ndef f(x, b=b): return b.g(x)",
    "from pipeline.deep import b\ndef f(x, b=b): return b.g(x)",
    "import pipeline.deep.b as b\ndef f(x, b=b): return b.g(x)",
)


@pytest.mark.parametrize("forms", [MODULE, NAME, INSIDE, LOADED, ELSE, SHADOWED])
def test_every_form_of_import_is_followed_and_counts_by_what_it_names(tmp_path: Path, forms: tuple[str, ...]) -> None:
    both = {"b": B, "deep.b": B}
    found = {of(tmp_path, {**both, "a": text}) for text in forms}
    assert len(found) == 1
    changed = {name: text.replace("+ 1", "+ 2") for name, text in both.items()}
    assert not found & {of(tmp_path, {**changed, "a": text}) for text in forms}


def test_imports_beside_each_other_have_no_order(tmp_path: Path) -> None:
    one = "from pipeline import b\nfrom pipeline.c import C\nprint(b, C)"
    other = "from pipeline.c import C\nfrom pipeline.z import b\nprint(b, C)"
    assert of(tmp_path, {**PROJECT, "a": one}) == of(tmp_path, {**PROJECT, "z.b": B, "a": other})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from pipeline.b import *", r"a\.py, line 1 imports all of pipeline\.b: name what is needed"),
        ("x = 1\nfrom pipeline import nothing", r"line 2 imports pipeline\.nothing, which is not there"),
        ("import pipeline.nothing", r"uses pipeline\.nothing, which is not there"),
        ("import pipeline.deep", r"uses pipeline\.deep, which is a package: import the module"),
        ("from pipeline import deep\nprint(deep)", r"line 2 uses pipeline\.deep, which is a package"),
        ("from pipeline import deep\ndeep = deep.b", r"binds deep to a package, and something else does"),
        ("from ...b import g", "has an import from above the top folder"),
        ('import_module(".b", "pipeline")', r"loads \.b: write the module's whole name"),
        ('import_module("pipeline.nothing")', r"uses pipeline\.nothing, which is not there"),
        ('__import__("pipeline.b")', "uses __import__: use importlib"),
        ("from pipeline.full import b", r"pipeline/full/__init__\.py holds code: move it to a module"),
        ("import pipeline.full.b", r"pipeline/full/__init__\.py holds code"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        of(tmp_path, {"b": B, "deep.b": B, "full.b": B, "full.__init__": "X = 1", "a": text})


TWO = "def f():\n    from pipeline import {}\n    x.g()\ndef h():\n    from pipeline import {}\n    x.g()"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A parameter, and what is imported.
        ("from pipeline import b\ndef f(b): return b.g(1)", "from pipeline import b as c\ndef f(b): return c.g(1)"),
        # A builtin in `h`, and what only `f` imports.
        (
            "def f():\n    from pipeline.b import g as open\n    open(1)\ndef h(): open(1)",
            "def f():\n    from pipeline.b import g\n    g(1)\ndef h(): open(1)",
        ),
        (
            "def f():\n    from pipeline.b import g as open\n    open(1)\ndef h(): open(1)",
            "from pipeline.b import g as open\ndef f():\n    open(1)\ndef h(): open(1)",
        ),
        # Two names of one thing, of which each function sees one.
        (
            "def f():\n    from pipeline.b import g as open\ndef h():\n    from pipeline.b import g as o\n    open(1)",
            "def f():\n    from pipeline.b import g as open\ndef h():\n    from pipeline.b import g as o\n    o(1)",
        ),
        # One name of two things.
        (TWO.format("b as x", "c as x"), TWO.format("b as x", "c as y")),
        (TWO.format("b as x", "c as x"), TWO.format("b as y", "c as x")),
        ("from pipeline.b import g\ng = 1\nprint(g)", "g = 1\nfrom pipeline.b import g\nprint(g)"),
        ("from pipeline.b import g\nfrom os import g\ng()", "from os import g\nfrom pipeline.b import g\ng()"),
        (
            "from pipeline.b import g\nfrom pipeline.c import g\ng()",
            "from pipeline.c import g\nfrom pipeline.b import g\ng()",
        ),
        ("from pipeline.b import g\nprint(g)", "from pipeline.c import g\nprint(g)"),
        ("from pipeline.b import g\nprint(g)", "from pipeline.b import h\nprint(h)"),
        ("from pipeline import b, c\nprint(b.x, c.x)", "from pipeline import b, c\nprint(c.x, b.x)"),
        ("from pipeline import b\nb.g(1)", "b.g(1)\nfrom pipeline import b"),
        ("from pipeline import b\n[b.g for b in x]", "from pipeline import b as c\n[c.g for b in x]"),
        (
            "from pipeline import b\nclass K:\n    b: int\n    x = b",
            "from pipeline import b as c\nclass K:\n    b: int\n    x = c",
        ),
        (
            "from pipeline import b\ntry: ...\nexcept E as b: print(b)",
            "from pipeline import b as c\ntry: ...\nexcept E as b: print(c)",
        ),
        (
            "from pipeline import b\nmatch x:\n    case [*b]: print(b)",
            "from pipeline import b as c\nmatch x:\n    case [*b]: print(c)",
        ),
        (
            "from pipeline import b\ndef f():\n    global b\n    print(b)",
            "from pipeline import b as c\ndef f():\n    global b\n    print(c)",
        ),
    ],
)
def test_different_codes_differ_whatever_hides_a_name(tmp_path: Path, one: str, other: str) -> None:
    assert of(tmp_path, {**PROJECT, "a": one}) != of(tmp_path, {**PROJECT, "a": other})


CIRCLE = {
    "a": "from pipeline import x\nprint(x.F)",
    "x": "F = 1\ndef f():\n    from pipeline import y\n    return y.g()",
    "y": "from pipeline.z import h\ndef g(): return h()",
    "z": "def h():\n    from pipeline import x, e\n    return x.f(), e.E",
    "e": "E = 1",
}


def test_a_circle_is_one_whatever_its_files_are_called_and_whoever_comes_first(tmp_path: Path) -> None:
    before = of(tmp_path, CIRCLE)
    renamed = {"x": "z1", "y": "a1", "z": "b.c"}
    moved = {"a": "from pipeline import z1\nprint(z1.F)", "e": "E = 1"}
    moved["z1"] = "F = 1\ndef f():\n    from pipeline import a1\n    return a1.g()"
    moved["a1"] = "from pipeline.b.c import h\ndef g(): return h()"
    moved["b.c"] = "def h():\n    from pipeline import e, z1\n    return z1.f(), e.E"
    assert of(tmp_path, moved) == before
    for one, other in renamed.items():
        assert of(tmp_path, CIRCLE, one) == of(tmp_path, moved, other)
    of(tmp_path, CIRCLE, "y")
    assert fingerprint(tmp_path, tmp_path / "pipeline" / "a.py") == before
    assert len({of(tmp_path, CIRCLE, name) for name in "axyz"}) == 4


@pytest.mark.parametrize(
    ("name", "old", "new", "concerned"),
    [("y", "h()", "h(1)", "axyz"), ("e", "1", "2", "axyze"), ("a", "x.F", "x.f", "a")],
)
def test_a_change_reaches_all_of_a_circle(tmp_path: Path, name: str, old: str, new: str, concerned: str) -> None:
    changed = edited(CIRCLE, name, old, new)
    assert {each for each in CIRCLE if of(tmp_path, CIRCLE, each) != of(tmp_path, changed, each)} == {*concerned}


def test_in_a_circle_it_counts_which_of_two_alike_stands_where(tmp_path: Path) -> None:
    """The two that `s` calls are told apart only by whom they call in turn."""
    circle = {"s": "from pipeline import t, u\ndef f(): return t.f() - u.f()"}
    for one, other, number in (("t", "v", 1), ("u", "w", 2)):
        circle[one] = f"from pipeline import {other}\ndef f(): return {other}.K"
        circle[other] = f"K = {number}\ndef f():\n    from pipeline import s"
    swapped = edited(circle, "s", "t.f() - u.f()", "u.f() - t.f()")
    assert of(tmp_path, swapped, "s") != of(tmp_path, circle, "s")


class Moved(ast.NodeTransformer):
    """The imports of a file when every module of ours lies elsewhere, under another name."""

    def __init__(self, moves: Mapping[str, str]) -> None:
        self.moves = moves

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if str(node.module).split(".")[0] != PACKAGE:
            return node
        found = []
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in self.moves:
                package, _, name = self.moves[whole].rpartition(".")
                found.append(ast.ImportFrom(package, [ast.alias(name, alias.asname or alias.name)], 0))
            else:
                found.append(ast.ImportFrom(self.moves.get(str(node.module), node.module), [alias], node.level))
        return found


BY_NAME = "pipeline.console.trackers"  # that importlib is given: its name is part of the code which does so


@pytest.mark.long
def test_a_move_of_every_file_changes_nothing_and_a_changed_definition_what_reaches_it(tmp_path: Path) -> None:
    every = units.every() | units.stage("summary") | units.stage("report")
    before = {unit: fingerprint(CODE, CODE / path) for unit, path in every.items()}
    sources = [path for path in sorted((CODE / PACKAGE).rglob("*.py")) if path.name != "__init__.py"]
    names = {path: ".".join(path.relative_to(CODE).with_suffix("").parts) for path in sources}
    # In the opposite order, so that what is sorted by path comes out otherwise.
    moves = {name: f"pipeline.far.p{900 - k}.m{900 - k}" for k, name in enumerate(names.values())}
    moves[BY_NAME] = BY_NAME
    places = {path: tmp_path.joinpath(*moves[name].split(".")).with_suffix(".py") for path, name in names.items()}
    for path, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(ast.unparse(ast.fix_missing_locations(Moved(moves).visit(ast.parse(path.read_text())))))

    def now() -> dict[str, str]:
        module._project.cache_clear()
        return {unit: fingerprint(tmp_path, places[CODE / path]) for unit, path in every.items()}

    assert now() == before
    for changed in ("pipeline/objectives/dkd.py", "pipeline/labels/labeller.py", "pipeline/training/recipe.py"):
        reach = {unit for unit, path in every.items() if CODE / changed in closure(CODE, [CODE / path])}
        place = places[CODE / changed]
        text = place.read_text()
        place.write_text(f"{text}\nCHANGED = 1\n")
        assert {unit for unit, found in now().items() if found != before[unit]} == reach != set()
        place.write_text(text)
    module._project.cache_clear()


def test_training_closure_is_narrow() -> None:
    """A change to the report, the plan or the params must not train anything again."""
    names = {path.relative_to(CODE).as_posix() for path in closure(CODE, [CODE / "pipeline/training/loop.py"])}
    assert "pipeline/training/snapshot.py" in names
    forbidden = {
        "pipeline/config/params.py",
        "pipeline/planning/build.py",
        "pipeline/lineage/results.py",
        "pipeline/lineage/node.py",
    }
    assert not names & forbidden
    assert not any(name.startswith("pipeline/evaluation") for name in names)
