"""The wheel, where nothing of this checkout is seen: `cohobate init`, and a graph in the folder that it made."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.commands.init import FILES
from tests.scratch import COMMIT, ROOT, TINY, Scratch, bring

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's packages, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    bring(folder / "code")  # which setuptools writes into
    for name in ("pyproject.toml", "setup.py", "params.yaml", "README.md", "LICENSE", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy2(ROOT / name, folder / "code" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    done = subprocess.run([*command, str(folder / "code")], capture_output=True, text=True)
    if "No matching distribution" in done.stderr or "Could not find" in done.stderr:
        pytest.skip("setuptools, which builds the wheel, cannot be downloaded")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_carries_what_init_writes_and_no_tests(site: Path) -> None:
    for name in FILES:
        assert (site / "pipeline" / "template" / name).read_bytes() == (ROOT / name).read_bytes(), name
    tops = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"pipeline", "stages"}


def test_a_folder_that_init_made_runs_in_it(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user does who has installed the wheel and has no checkout."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    script = (sys.executable, "-c", "import sys; sys.argv[0] = 'cohobate'; from pipeline.script import main; main()")
    assert "8 files are written" in Scratch(tmp_path).run(*script, "init", "mine")
    mine = Scratch(tmp_path / "mine")
    found = mine.run(sys.executable, "-c", "import pipeline, stages; print(pipeline.__file__, stages.__file__)")
    assert found.count(str(site)) == 2
    mine.edit(TINY)
    mine.run(*script, "wire", "--check")
    assert mine.repro("baseline") == ["plan", "prepare", "baseline"]
    assert (mine.folder / "artifacts" / "baseline" / "node.json").exists()
    assert "baseline" in mine.run(*script, "status")
    mine.run("git", "add", ".")
    mine.run(*COMMIT)
    assert mine.run("git", "status", "--porcelain") == "", "what is made is ignored or committed"
    assert mine.repro("baseline") == ["plan"]
