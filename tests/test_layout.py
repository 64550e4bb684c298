"""Imports run one way, from the commands down to what all use, and no module reaches itself again.

What is imported by name counts, too: a string that is the name of a module of ours, or the beginning of one.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scratch import ROOT

# From the top down. Packages of one line do not import one another.
LEVELS = (
    ("api", "script"),
    ("stages", "__main__"),
    ("upkeep",),
    ("commands",),
    ("report", "engines"),
    ("compression",),
    ("training",),
    ("lineage",),
    ("console",),
    ("dvc",),
    ("planning",),
    ("labels",),
    ("models", "data", "objectives"),
    ("evaluation",),
    ("config",),
    ("base",),
)
RANKS = {package: rank for rank, packages in enumerate(LEVELS) for package in packages}


@dataclass(frozen=True)
class Arrow:
    """A module that imports another one.

    Attributes:
        source: The module.
        target: What it imports.
        where: File and line.
        sure: False where only the beginning of a name stands there, and what follows is not known before it runs.
    """

    source: str
    target: str
    where: str
    sure: bool


def modules(root: Path) -> dict[str, Path]:
    """Every module of ours by its name."""
    paths = [path for top in ("pipeline", "stages") for path in (root / top).rglob("*.py")]
    named = {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(paths)}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def arrows(root: Path) -> list[Arrow]:
    """Every import of one of our modules by another, under `if TYPE_CHECKING` and within functions, too."""
    ours = modules(root)
    found = []
    for source, path in ours.items():
        for node in ast.walk(ast.parse(path.read_bytes())):
            for name in imported(node):
                for target in targets(name, ours):
                    if target != source:
                        where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
                        found.append(Arrow(source, target, where, sure=not name.endswith(".")))
    return found


def imported(node: ast.AST) -> Iterator[str]:
    """The names that a piece of code may import; one that ends in a dot is only the beginning of a name."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: a relative import; write the module's whole name"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.JoinedStr) and node.values and isinstance(first := node.values[0], ast.Constant):
        yield from re.findall(r"^(?:pipeline|stages)\.(?:\w+\.)*", str(first.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from re.findall(r"^(?:pipeline|stages)(?:\.\w+)+$", node.value)


def targets(name: str, ours: dict[str, Path]) -> list[str]:
    """The modules of ours that a name stands for: of a beginning all that it may become, of an attribute its module."""
    if name.endswith("."):
        return [each for each in ours if each.startswith(name)]
    while name and name not in ours:
        name = name.rpartition(".")[0]
    return [name] if name and name not in ("pipeline", "stages") else []


def package(module: str) -> str:
    """`models` of `pipeline.models.net`; `stages` of all that lies there."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] if top == "pipeline" else top


def upward(found: list[Arrow]) -> list[str]:
    """What imports something above it or beside it, or `stages`, or the report."""
    faults = []
    for arrow in found:
        source, target = package(arrow.source), package(arrow.target)
        if target == "stages" and source != "script":
            faults.append(f"{arrow.where}: {arrow.source} imports {arrow.target}: nothing imports stages")
        elif source != target and RANKS[target] <= RANKS[source]:
            faults.append(f"{arrow.where}: {source} imports {arrow.target}, which does not lie below it")
        elif target == "report" and source not in ("report", "commands", *LEVELS[1], "upkeep"):
            faults.append(f"{arrow.where}: {source} imports {arrow.target}: only the report and commands do")
    return faults


def circles(found: list[Arrow]) -> list[str]:
    """Each arrow by which a module reaches itself again."""
    below: dict[str, set[str]] = {}
    found = [arrow for arrow in found if arrow.sure]
    for arrow in found:
        below.setdefault(arrow.source, set()).add(arrow.target)

    def reaches(start: str, end: str) -> bool:
        seen, waiting = set[str](), [start]
        while waiting:
            if (name := waiting.pop()) == end:
                return True
            if name not in seen:
                seen.add(name)
                waiting.extend(below.get(name, ()))
        return False

    return [
        f"{a.where}: {a.source} imports {a.target}, which reaches it again"
        for a in found
        if reaches(a.target, a.source)
    ]


def test_imports_run_one_way() -> None:
    assert not upward(arrows(ROOT))


def test_no_module_reaches_itself() -> None:
    found = arrows(ROOT)
    assert not circles(found)


def test_every_package_has_its_level() -> None:
    assert {package(name) for name in modules(ROOT)} - {""} == {*RANKS}


def test_what_is_imported_by_name_is_seen() -> None:
    found = {(arrow.source, arrow.target) for arrow in arrows(ROOT)}
    assert ("pipeline.models.files", "pipeline.models.codebook") in found
    assert ("pipeline.models.build", "pipeline.models.surgery") in found
    assert ("pipeline.compression.stage", "pipeline.compression.steps.prune") in found
    assert ("pipeline.objectives.compose", "pipeline.objectives.rkd") in found


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        (
            "models/a.py",
            "import pipeline.compression.b",
            "models imports pipeline.compression.b, which does not lie below",
        ),
        ("models/a.py", "def f():\n    from pipeline.compression import b", "pipeline/models/a.py:2: models imports"),
        ("models/a.py", "from pipeline.compression.b import f", "models imports pipeline.compression.b"),
        ("models/a.py", "if TYPE_CHECKING:\n    from pipeline.compression.b import f", "models imports"),
        ("models/a.py", "READER = 'pipeline.compression.b'", "models imports pipeline.compression.b"),
        ("models/a.py", "import_module(f'pipeline.compression.{kind}')", "models imports pipeline.compression.b"),
        ("models/a.py", "from pipeline.data import c", "models imports pipeline.data.c"),
        ("engines/a.py", "from pipeline.report import d", "engines imports pipeline.report.d"),
        ("commands/a.py", "import stages.__main__", "nothing imports stages"),
        ("commands/a.py", "from pipeline.report import d", None),
        ("compression/a.py", "from pipeline.models import e\nfrom pipeline.compression import b", None),
        ("compression/a.py", "'''See pipeline.report.d.'''\nimport torch, pipelines.b", None),
    ],
)
def test_an_arrow_that_goes_up_is_named_with_its_line(tmp_path: Path, file: str, text: str, fault: str | None) -> None:
    for each in ("compression/b", "data/c", "report/d", "models/e"):
        path = tmp_path / "pipeline" / f"{each}.py"
        path.parent.mkdir(parents=True)
        path.write_text("")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__main__.py").write_text("")
    path = tmp_path / "pipeline" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    found = upward(arrows(tmp_path))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_a_circle_is_named_with_its_lines(tmp_path: Path) -> None:
    package = tmp_path / "pipeline" / "models"
    package.mkdir(parents=True)
    for name, text in (
        ("a", "\nfrom pipeline.models import b"),
        ("b", "from pipeline.models.c import f"),
        ("d", "import pipeline.models.a"),
    ):
        (package / f"{name}.py").write_text(text)
    (package / "c.py").write_text("def f():\n    from pipeline.models import a")
    assert [fault.partition(" ")[0] for fault in circles(arrows(tmp_path))] == [
        "pipeline/models/a.py:2:",
        "pipeline/models/b.py:1:",
        "pipeline/models/c.py:2:",
    ]
