"""The store of encoded photographs, at any number of them: seconds, memory, disk, and what one more photograph costs.

In a repository of its own: N JPEGs of 500 x 375 are made (64 pictures, each file with a number in a comment, so that
no two are equal), `dvc repro prepare` runs, one more photograph is added and it runs again, and the same store is
brought to an experiment by `dvc exp run --temp` and from the queue, and to a second clone on the same cache; all that
for DVC's own `cache.type`, and for links. Bytes written and read are those of all processes, as Linux counts them, but
those of the queue's workers, which outlive the command.
"""

import hashlib
import io
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.base.files import read_json, write_json
from tests.scratch import COMMIT, Scratch, create

PICTURES = 64
SIZE = (500, 375)
EDGE = 224
CLASSES = 10
FOLDER = 1000  # files in one folder, at most
COMMENT = b"\xff\xfe\x00\x0a"  # the marker and length of a JPEG's comment of 8 bytes
TYPES = {"copy": "reflink,copy", "links": "hardlink,symlink"}  # DVC's default, and what large stores want

Log = Callable[[str], None]
Figures = dict[str, Any]


def measure(out: Path, folder: Path, count: int, log: Log, size: tuple[int, int] = SIZE, edge: int = EDGE) -> Figures:
    """All figures, which `out` keeps as they come: what stands there already is not measured again.

    folder: where files are made, 8 times what N photographs need; what an earlier run made there is used.
    """
    setting = {"photographs": count, "size": [*size], "data.size": edge}
    whole: Figures = read_json(out) if out.exists() else {"setting": setting, "kinds": {}}
    if whole["setting"] != setting:
        raise UserError(f"{out} is of another setting: name another file")
    for kind in TYPES:
        if kind in whole["kinds"]:
            continue
        log(f"store: {count:,} photographs, cache.type {TYPES[kind]}")
        whole["input_bytes"] = generate(folder / "photographs", count, size)
        one_more(folder / "photographs", count).unlink(missing_ok=True)
        shutil.rmtree(folder / kind, ignore_errors=True)
        whole["kinds"][kind] = _of(folder, kind, count, size, edge, log)
        write_json(out, whole)
        shutil.rmtree(folder / kind)  # the next one needs as much room
    return whole


def generate(root: Path, count: int, size: tuple[int, int]) -> int:
    """Make what is missing of so many JPEGs, in folders of classes; their bytes."""
    made = [photograph(number, size) for number in range(min(PICTURES, count))]
    for number in range(count):
        path = _path(root, number)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_numbered(made[number % PICTURES], number))
    return sum(len(made[number % PICTURES]) + len(COMMENT) + 8 for number in range(count))


def one_more(root: Path, count: int) -> Path:
    """Where one photograph more lies than `count`."""
    return _path(root, count)


def _of(folder: Path, kind: str, count: int, size: tuple[int, int], edge: int, log: Log) -> Figures:
    root = folder / "photographs"
    scratch = create(folder / kind)
    scratch.edit({"data": {"source": "imagefolder", "root": str(root), "size": edge, "per_class": None}})
    scratch.run("dvc", "config", "cache.type", TYPES[kind])
    scratch.run(*COMMIT)
    found: Figures = {}
    found["prepare"] = _spent(scratch, "dvc", "repro", "prepare")
    found["peak_bytes"] = _peak()
    places = {
        "workspace": scratch.folder / "artifacts" / "data",
        "cache": scratch.folder / ".dvc" / "cache",
        "kept": scratch.folder / ".dvc" / "training-state",
    }
    found["bytes"] = {name: sum(_disk(place).values()) for name, place in places.items()}
    together: dict[int, int] = {}
    for place in places.values():
        together |= _disk(place)
    found["bytes"]["together"] = sum(together.values())
    found["shards"] = len([*(places["workspace"] / "shards").iterdir()])
    found["nothing_new"] = _spent(scratch, "dvc", "repro", "prepare")
    log(f"store: prepared in {found['prepare']['seconds']:.0f} s")
    more = one_more(root, count)
    more.parent.mkdir(parents=True, exist_ok=True)
    more.write_bytes(_numbered(photograph(PICTURES, size), count))
    before = _names(places["workspace"] / "shards")
    found["one_more"] = _spent(scratch, "dvc", "repro", "prepare")
    after = _names(places["workspace"] / "shards")
    found["one_more"]["shards_changed"] = len(after.items() - before.items())
    log(f"store: one more photograph in {found['one_more']['seconds']:.0f} s")
    scratch.run("git", "add", "dvc.lock")
    scratch.run(*COMMIT)
    # -S changes the plan and nothing of the images.
    found["exp_temp"] = _spent(scratch, "dvc", "exp", "run", "--temp", "-S", "seeds.train=7", "prepare")
    scratch.run("dvc", "exp", "run", "--queue", "-S", "seeds.train=8", "prepare")
    found["exp_queue"] = {"seconds": _spent(scratch, "dvc", "exp", "run", "--run-all")["seconds"]}
    log(f"store: an experiment in {found['exp_temp']['seconds']:.0f} s, queued {found['exp_queue']['seconds']:.0f} s")
    clone = Scratch(folder / f"{kind}-clone")
    shutil.rmtree(clone.folder, ignore_errors=True)
    scratch.run("git", "clone", "--quiet", str(scratch.folder), str(clone.folder))
    clone.run("dvc", "cache", "dir", "--local", str(places["cache"]))
    shutil.copy2(scratch.folder / "dvc.lock", clone.folder / "dvc.lock")
    found["clone"] = _spent(clone, "dvc", "checkout", "prepare")
    found["clone_repro"] = _spent(clone, "dvc", "repro", "prepare")
    read = "from pathlib import Path; from pipeline.data.prepared import read; d = read(Path('artifacts/data')); "
    # One by one: what several processes have held at most is told of all since the first.
    first = f"{read} [len(d.train.images.content(row)) for row in range(len(d.train))]"
    found["first_read"] = _spent(clone, sys.executable, "-c", first)
    shutil.rmtree(clone.folder)
    return found


def table(figures: Figures) -> list[tuple[str, ...]]:
    """Rows of cells, the head first: a kind of cache a column."""
    kinds, given = figures["kinds"], figures["input_bytes"]
    rows: list[tuple[str, ...]] = [("what", *(f"cache.type {TYPES[kind]}" for kind in kinds))]

    def row(name: str, of: Callable[[Figures], str]) -> None:
        rows.append((name, *(of(found) for found in kinds.values())))

    row("prepare, seconds", lambda found: f"{found['prepare']['seconds']:.0f}")
    row("peak memory of a process", lambda found: _mebibytes(found["peak_bytes"]))
    for name in ("workspace", "cache", "kept", "together"):
        row(f"{name} ÷ photographs", lambda found, name=name: f"{found['bytes'][name] / given:.2f}")
    for name, words in (
        ("nothing_new", "dvc repro with nothing to do"),
        ("one_more", "one more photograph"),
        ("exp_temp", "dvc exp run --temp"),
        ("exp_queue", "a queued experiment"),
        ("clone", "dvc checkout in a second clone"),
        ("clone_repro", "dvc repro there"),
        ("first_read", "every stored image read there once"),
    ):
        row(f"{words}, seconds", lambda found, name=name: f"{found[name]['seconds']:.1f}")
        if name != "exp_queue":
            row(f"{words}, written and read", lambda found, name=name: _two(found[name]))
    return rows


def _mebibytes(size: int | None) -> str:
    return "not measured" if size is None else f"{size / 2**20:.0f} MiB"


def _two(spent: Figures) -> str:
    return f"{spent['written'] / 1e6:,.1f} MB, {spent['read'] / 1e6:,.0f} MB"


def photograph(seed: int, size: tuple[int, int]) -> bytes:
    """A JPEG with about as many bytes as a photograph of its size: smooth shapes, and the noise of a sensor."""
    drawn = np.random.default_rng(seed)
    few = Image.fromarray(drawn.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(few, dtype=np.int16) + drawn.normal(0, 6, (size[1], size[0], 3)).astype(np.int16)
    made = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(made, "JPEG", quality=85)
    return made.getvalue()


def _numbered(content: bytes, number: int) -> bytes:
    """The same picture as another file."""
    return content[:2] + COMMENT + number.to_bytes(8, "big") + content[2:]


def _path(root: Path, number: int) -> Path:
    return root / f"class{number % CLASSES}" / f"{number:08d}.jpg"


def _spent(scratch: Scratch, *command: str) -> Figures:
    """What a command took, as JSON."""
    before, began = _io(), time.perf_counter()
    process = scratch.start(*command)
    said, _ = process.communicate()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return {"seconds": seconds} | {name: now - before[name] for name, now in _io().items()}


def _disk(folder: Path) -> dict[int, int]:
    """Bytes of each file below a folder, by its inode; a link is what it is, not what it leads to."""
    found = {}
    for name, _, files in os.walk(folder):
        for file in files:
            stat = os.lstat(Path(name) / file)
            found[stat.st_ino] = stat.st_blocks * 512
    return found


def _names(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def _io() -> dict[str, int]:
    """Bytes that this process, and all that it has waited for, have read and written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    counted = dict(line.split(": ") for line in lines)
    return {"read": int(counted["rchar"]), "written": int(counted["wchar"])}


def _peak() -> int:
    """Most bytes that any process which we waited for has held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
