"""The code fingerprint follows meaning, not text."""

from pathlib import Path

import pytest

from pipeline.base.paths import CODE
from pipeline.planning import fingerprint as module
from pipeline.planning.fingerprint import closure, fingerprint
from pipeline.planning.parts import BODIES


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of five modules: a imports b and e (inside functions) and, for types only, d; c stands alone."""
    package = tmp_path / "pipeline"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from pipeline.d import D\n"
        'def f(x: "D"):\n    """Text."""\n    from pipeline import b\n    return b.g(x)  # why\n'
        "def h():\n    import pipeline.e\n    return pipeline.e.E\n"
    )
    (package / "e.py").write_text("E = 0.5\n")
    (package / "b.py").write_text("def g(x):\n    return x + 1\n")
    (package / "c.py").write_text("C = 1\n")
    (package / "d.py").write_text("class D: ...\n")
    return tmp_path


def of(project: Path) -> str:
    """The fingerprint of module a, as a fresh process would find it."""
    for cached in (module._tree, module._imports, module._meaning):
        cached.cache_clear()
    return fingerprint(project, [project / "pipeline" / "a.py"])


def test_closure_follows_imports_that_run(project: Path) -> None:
    names = {path.stem for path in closure(project, [project / "pipeline" / "a.py"])}
    assert names == {"a", "b", "e"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "# why", "# because"),
        ("a.py", '"""Text."""', '"""Other text."""'),
        ("a.py", "return b.g(x)", "return (\n        b.g(x)\n    )"),
        ("c.py", "C = 1", "C = 2"),
        ("d.py", "class D: ...", "class D:\n    x = 1"),
    ],
)
def test_text_and_strangers_do_not_count(project: Path, file: str, old: str, new: str) -> None:
    before = of(project)
    path = project / "pipeline" / file
    changed = path.read_text().replace(old, new)
    assert changed != path.read_text()
    path.write_text(changed)
    assert of(project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "b.g(x)", "b.g(x, 1)"),
        ("a.py", "b.g(x)", "b.h(x)"),
        ("b.py", "+ 1", "- 1"),
        ("b.py", "+ 1", "+ 2"),
        ("b.py", "x + 1", "1 + x"),
        ("e.py", "0.5", "0.25"),
    ],
)
def test_meaning_counts(project: Path, file: str, old: str, new: str) -> None:
    before = of(project)
    path = project / "pipeline" / file
    path.write_text(path.read_text().replace(old, new))
    assert of(project) != before


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


def test_nothing_but_its_stage_uses_the_report() -> None:
    for stage, body in BODIES.items():
        names = {each.relative_to(CODE).as_posix() for each in closure(CODE, [CODE / body])}
        assert any(name.startswith("pipeline/report/") for name in names) == (stage == "report"), stage
