"""Damaged in the workspace and in DVC's cache: named, and mended by the commands that the note gives."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.scratch import ROOT, Scratch

NOTE = (ROOT / "docs" / "reliability.md").read_text()
VIEW = "artifacts/teacher/labels/view_001.safetensors"


@pytest.mark.long
def test_the_notes_commands_mend_it(untrained: Scratch, lineage: Scratch) -> None:
    (commands,) = re.findall(r"^```\n(find .*?)^```$", NOTE, re.MULTILINE | re.DOTALL)
    size = (untrained.folder / VIEW).stat().st_size
    content = (untrained.folder / VIEW).read_bytes()
    cached = [path for path in (untrained.folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    twins = [path for path in cached if path.stat().st_size == size and path.read_bytes() == content]
    assert twins
    for path in (untrained.folder / VIEW, *twins):
        os.chmod(path, 0o644)
        path.write_bytes(bytes(size))
        os.chmod(path, 0o444)
    said = untrained.stage("assistant", "t1", code=1)
    assert re.search(rf"^error: {VIEW} is damaged \(its SHA-256 is not the recorded one\)", said, re.MULTILINE)
    shutil.rmtree(untrained.folder / "artifacts" / "assistant")
    untrained.run("bash", "-c", commands)
    assert untrained.hashes() == lineage.hashes()


def test_every_test_that_the_note_names_is_there() -> None:
    for path in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", NOTE):
        assert (ROOT / Path(path)).exists(), path
