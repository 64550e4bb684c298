"""Whatever a stage or a command reads is compared with its recorded hash, by one function."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.graph import Stage, stages
from tests.scratch import ROOT, Scratch

CODE = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "pipeline").rglob("*.py"))}
HASHING = ("sha256", "digest", "hexdigest", "file_digest")
# What compares hashes beside `files.verify`, and why.
COMPARING = {
    "pipeline/base/files.py",  # it is there
    "pipeline/training/state.py",  # state that is damaged is no error: the one before it is taken
    "pipeline/labels/parts.py",  # nor are such parts: they are made again
    "pipeline/labels/kept_basis.py",  # nor such a basis
    "pipeline/dvc/run_cache.py",  # nor what the cache does not bring back
    "pipeline/dvc/cache.py",  # nor what the cache has lost: it is missing
    "pipeline/training/shared_snapshots.py",  # nor what comes damaged from a remote: what lies here is taken
    "pipeline/training/shared_labels.py",  # likewise
    "pipeline/training/given.py",  # a hash that the user gave, and who is told the right one
}
# What takes the weights' path of a node without comparing it, and why.
TAKING = {
    "pipeline/lineage/node.py",  # `checked_weights` is there
}


def hashes(tree: ast.AST) -> bool:
    """Whether something in the code takes a hash."""
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    return any(ast.unparse(call.func).split(".")[-1] in HASHING for call in calls)


def compares(tree: ast.AST) -> bool:
    """Whether the code compares a hash that it takes, at once or by a name that it gives it."""
    named = {
        target.id
        for each in ast.walk(tree)
        if isinstance(each, ast.Assign | ast.NamedExpr) and each.value and hashes(each.value)
        for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
        if isinstance(target, ast.Name)
    }
    return any(
        hashes(each) or named & {name.id for name in ast.walk(each) if isinstance(name, ast.Name)}
        for each in ast.walk(tree)
        if isinstance(each, ast.Compare)
    )


@pytest.mark.parametrize(
    ("text", "whether"),
    [
        ("if sha256(path) != recorded: pass", True),
        ("if files.digest(header) == of.hashes['labels']: pass", True),
        ("found = hashlib.sha256(content).hexdigest()\nif recorded != found: pass", True),
        ("if (found := sha256(path)) != recorded: pass", True),
        ("verify(path, recorded, '', found=digest(header))", False),
        ("found = sha256(path)\nif path == other: pass", False),
    ],
)
def test_a_comparison_is_seen(text: str, whether: bool) -> None:
    assert compares(ast.parse(text)) == whether


def test_hashes_are_compared_in_one_place() -> None:
    assert {name for name, path in CODE.items() if compares(ast.parse(path.read_bytes()))} == COMPARING


def test_a_nodes_weights_are_taken_in_one_place() -> None:
    """`.weights` of what is a node by its name in our code."""
    nodes = {"of", "node", "last", "initial", "previous", "teacher", "to", "each", "member", "work.previous"}
    found = set()
    for name, path in CODE.items():
        for each in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(each, ast.Attribute) and each.attr == "weights" and ast.unparse(each.value) in nodes:
                found.add(name)
    assert found == TAKING


def inputs(stage: Stage, folder: Path) -> Iterator[str]:
    """The artifacts and numbers that a stage may read, relative to the repository."""
    for dep in stage.deps:
        if dep.startswith(("artifacts/", "metrics/")):
            path = folder / dep
            found = sorted(path.rglob("*")) if path.is_dir() else [path]
            yield from (each.relative_to(folder).as_posix() for each in found if each.is_file())


def damage(path: Path) -> None:
    """Another last bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    os.chmod(path, 0o644)
    path.write_bytes(content)


@pytest.mark.long
def test_one_other_bit_in_what_a_stage_reads_is_named(untrained: Scratch, lineage: Scratch, tmp_path: Path) -> None:
    """All that a stage may read is damaged; what it names is mended, until it ends: then it read nothing damaged."""
    from tests.faults.compare import difference, results
    from tests.faults.process import Running

    assert untrained.state
    folder, whole = untrained.folder, results(lineage.folder, "artifacts")
    named: dict[str, set[str]] = {}
    for stage in stages(folder):
        damaged = {*inputs(stage, folder)}
        for name in damaged:
            damage(folder / name)
        while (ended := Running(folder, untrained.state, stage.verb, tmp_path / "log").end()).status:
            (line,) = [line for line in ended.said.splitlines() if line.startswith("error: ")]
            found = [name for name in damaged if re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", line)]
            assert len(found) == 1, f"{stage.name}: {ended.said}"
            damaged.remove(found[0])
            named.setdefault(stage.name, set()).add(found[0])
            (folder / found[0]).write_bytes((lineage.folder / found[0]).read_bytes())
        for name in damaged:
            (folder / name).write_bytes((lineage.folder / name).read_bytes())
        found = results(folder, "artifacts")
        assert found == whole, f"{stage.name} read what it did not check: {difference(found, whole)}"
    kinds = {re.sub("[0-9]+", "N", Path(name).name) for name in set[str]().union(*named.values())}
    arrays = {f"{split}.{what}.npy" for split in ("train", "validation", "test") for what in ("images", "labels")}
    assert kinds >= arrays | {"node.json", "data.json", "labels.json", "view_N.safetensors", "logits.safetensors"}
    assert kinds >= {"model.safetensors", "model.onnx", "teacher.json"}
    # Of what is only shown no artifact is left to compare.
    assert named["report"] >= {f"artifacts/{name}/model.safetensors" for name in ("teacher", "student", "baseline")}
