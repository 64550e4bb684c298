"""The wheel carries what `cohobate init` writes: the files at the top of the repository."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = (
    *("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"),
    *(".dvc/config", ".dvc/.gitignore", ".dvc/plots/curves.json", ".dvc/plots/generations.json"),
)


class WithFiles(build_py):
    """The packages, and these files below `pipeline/template`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the code is run where it lies, beside them
            return
        for name in FILES:
            target = Path(self.build_lib) / "pipeline" / "template" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(name, str(target))


setup(cmdclass={"build_py": WithFiles})
