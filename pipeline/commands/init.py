"""A folder of one's own: what makes it a repository of this pipeline, and no code.

The files are those of the pipeline's own repository; its wheel carries them (setup.py).
"""

from collections.abc import Iterator
from pathlib import Path

from pipeline.base import files, programs
from pipeline.base.errors import UserError
from pipeline.base.shipped import shipped

FILES = (
    *("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"),
    *(".dvc/config", ".dvc/.gitignore", ".dvc/plots/curves.json", ".dvc/plots/generations.json"),
)
PATIENCE = 60.0  # seconds for git


def init(folder: Path) -> Iterator[str]:
    """Write the files into `folder`, which is made, and make it a git repository where it lies in none.

    Yields a sentence for a person after each step.

    Raises:
        UserError: One of the files is there already, or git is not.
    """
    if there := [name for name in FILES if (folder / name).exists()]:
        raise UserError(f"{folder} has {' and '.join(there)} already: name another folder, or take that away")
    contents = {name: (shipped() / name).read_bytes() for name in FILES}
    folder.mkdir(parents=True, exist_ok=True)
    inside = programs.run(["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"], PATIENCE)
    written: list[Path] = []
    try:
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            files.write_bytes(path, content)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    yield f"{folder}: {len(contents)} files are written, {', '.join(name for name in FILES if '/' not in name)} first"
    if inside.returncode != 0:
        made = programs.run(["git", "init", "--quiet", str(folder)], PATIENCE)
        if made.returncode != 0:
            raise UserError(f"git could not make {folder} its repository ({_last(made.stderr)}): run `git init` there")
        yield f"{folder}: it was in no git repository, and is one now"
    yield f"Next: `cd {folder}`, put photographs into images/<class>/, and run `cohobate use photos`, `cohobate repro`"


def _last(text: str) -> str:
    return " ".join(text.split("\n")[-2:]).strip() or "no reason given"
