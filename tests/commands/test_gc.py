"""`gc` removes state that nothing goes on with, and no other."""

import json
import multiprocessing
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from pipeline.base import files
from pipeline.base.paths import PLAN
from pipeline.commands.gc import Collected, collect, looks_in_use
from pipeline.config.data import Data
from pipeline.data.kept_images import FOLDER, kept_images
from pipeline.data.kept_looks import Look, kept_looks, looks_file
from pipeline.data.shards import Bucket, Stored
from pipeline.dvc.training_state import VARIABLE
from pipeline.labels.parts import PARTS, WHOLE
from pipeline.labels.store import view_path
from pipeline.planning.specs.prepare import PrepareSpec
from pipeline.planning.specs.spec import write_specs
from pipeline.training.folders import contents, locked_folders
from pipeline.training.labelling import ENVIRONMENT, kept_parts
from pipeline.training.state import State, holding
from tests.scratch import Scratch, wait

A, B = "a" * 64, "b" * 64  # keys


def state(root: Path, name: str, epoch: int) -> Path:
    """A state that nobody holds, `epoch` of 5 epochs done."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "lock").write_text("1")
    State(folder).save(save({}, {"facts": json.dumps({"epochs": 5, "position": {"epoch": epoch}})}))
    return folder


def _hold(root: str, seconds: float) -> None:
    os.environ[VARIABLE] = root
    with holding("teacher", A, print):
        time.sleep(seconds)


def test_finished_goes_unfinished_stays_until_asked_for(tmp_path: Path) -> None:
    finished, unfinished = state(tmp_path, f"teacher/{A}", 5), state(tmp_path, f"teacher/{B}", 4)
    size = sum(path.stat().st_size for path in finished.iterdir())
    assert collect(tmp_path) == Collected(removed=1, bytes=size, held=0, unfinished=1)
    assert not finished.exists()
    assert (unfinished / "state").exists()
    assert collect(tmp_path, unfinished=True).removed == 1
    assert not unfinished.exists()


def test_labels_go_when_they_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    def labels(finished: bool) -> None:
        with suppress(KeyboardInterrupt), kept_parts("teacher", A, {"threads": 1}) as parts:
            (parts / "view_000.safetensors").write_bytes(b"12345")
            if not finished:
                raise KeyboardInterrupt

    labels(finished=False)
    assert collect(tmp_path) == Collected(0, 0, held=0, unfinished=1)
    labels(finished=True)
    labels(finished=False)
    assert collect(tmp_path) == Collected(0, 0, held=0, unfinished=1), "more views were asked for"
    labels(finished=True)
    done = collect(tmp_path)
    assert (done.removed, done.unfinished) == (1, 0) and done.bytes > 5
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_damaged_state_with_a_good_one_before_it_stays(tmp_path: Path) -> None:
    folder = state(tmp_path, f"teacher/{A}", 4)
    os.replace(folder / "state", folder / "state.previous")
    (folder / "state").write_bytes(b"torn")
    assert collect(tmp_path) == Collected(0, 0, held=0, unfinished=1)


def test_what_a_process_holds_stays(tmp_path: Path) -> None:
    folder = state(tmp_path, f"teacher/{A}", 5)
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path), 60.0))
    process.start()
    try:
        wait("the lock", lambda: (folder / "lock").read_text() == str(process.pid))
        assert collect(tmp_path, unfinished=True) == Collected(0, 0, held=1, unfinished=0)
        assert (folder / "state").exists()
    finally:
        process.kill()
        process.join()


def test_who_waited_for_a_state_that_gc_removed_holds_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    folder = state(tmp_path, f"teacher/{A}", 5)
    opened = Path.open

    def removed_meanwhile(self: Path, *args: Any) -> object:
        file = opened(self, *args)
        if args == ("a+",):
            monkeypatch.setattr(Path, "open", opened)
            assert collect(tmp_path).removed == 1
        return file

    monkeypatch.setattr(Path, "open", removed_meanwhile)
    with holding("teacher", A, pytest.fail) as held:
        assert held.load(pytest.fail) is None
        assert (folder / "lock").read_text() == str(os.getpid())
        held.save(b"new")
        assert collect(tmp_path).held == 1


def test_all_that_we_write_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the constants of who writes it, and what a kill leaves."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with kept_parts("teacher", A, {"threads": 1}) as parts:
        held = State(parts.parent)
        with files.replacing(parts.parent / ENVIRONMENT) as temporary:
            temporary.touch()
            for path in (
                *(held.current, held.previous, held.finished, held.folder / "state.tmp"),
                temporary.with_name(temporary.name.replace(".tmp", ".old.tmp")),
                *(parts / PARTS, parts / WHOLE, view_path(parts, 0), view_path(parts, 1234).with_suffix(".tmp")),
            ):
                path.touch()
            everything = {path for path in held.folder.rglob("*") if path.is_file()}
            assert {*(contents(held.folder, tmp_path) or [])} == everything
    assert collect(tmp_path).removed == 1
    assert not held.folder.exists()


def test_all_that_a_run_leaves_is_known(lineage: Scratch) -> None:
    root = lineage.folder / ".dvc" / "training-state"
    found = [*locked_folders(root)]
    assert len(found) >= 9
    assert all(contents(folder, root) for folder in found)


def below(folder: Path) -> dict[str, bytes | None]:
    """Every path, with the content of files; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "thesis.tex").write_text("mine"),
        lambda folder: (folder / "state.bak").write_text("mine"),
        lambda folder: (folder / "mine").mkdir(),
        lambda folder: ((folder / "parts").mkdir(), (folder / "parts" / "a.png").write_text("mine")),
        lambda folder: ((folder / "parts").mkdir(), (folder / "parts" / "parts").mkdir()),
        lambda folder: (folder / "parts").symlink_to(folder.parents[2] / "mine"),
        lambda folder: (folder / "state.previous").symlink_to(folder.parents[2] / "mine" / "file"),
        lambda folder: ((folder / "lock").unlink(), (folder / "lock").symlink_to(folder.parents[2] / "mine" / "file")),
        lambda folder: ((folder / "lock").unlink(), os.mkfifo(folder / "lock")),
        lambda folder: os.mkfifo(folder / "state.tmp"),
        lambda folder: folder.rename(folder.with_name("abc")),
        lambda folder: folder.rename(folder.with_name(A.upper())),
        lambda folder: folder.rename(folder.parents[1] / A),
        lambda folder: folder.parent.rename(folder.parents[1] / "a b"),
    ],
    ids=lambda spoil: "",
)
def test_what_is_not_ours_stays_whole_and_is_named(tmp_path: Path, spoil: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("1")
    root = tmp_path / "root"
    spoil(state(root, f"teacher/{A}", 4))
    state(root, f"student/{B}", 4)
    before = below(tmp_path)
    done = collect(root, unfinished=True)
    assert below(tmp_path) == {name: content for name, content in before.items() if B not in name}
    assert (done.removed, len(done.strange)) == (1, 1)


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    state(tmp_path / "elsewhere", f"teacher/{A}", 5)
    (root / "teacher").symlink_to(tmp_path / "elsewhere" / "teacher")
    assert collect(root, unfinished=True) == Collected(0, 0, held=0, unfinished=0)
    assert (tmp_path / "elsewhere" / "teacher" / A / "state").exists()


def test_what_comes_while_a_state_is_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = state(tmp_path, f"teacher/{A}", 5)
    unlink = Path.unlink

    def then_another_comes(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        (folder / "thesis.tex").write_text("mine")

    monkeypatch.setattr(Path, "unlink", then_another_comes)
    collect(tmp_path)
    assert os.listdir(folder) == ["thesis.tex"]


def test_the_lock_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then whoever wants the folder waits."""
    state(tmp_path, f"teacher/{A}", 5)
    gone: list[str] = []
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok: (gone.append(self.name), unlink(self))[1])
    collect(tmp_path)
    assert gone == ["state", "lock"]


def test_dvcs_own_folder_as_the_folder_for_state_loses_nothing(
    copied: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's run cache has folders that are named as keys are, and its queue one with a `lock`."""
    dvc = copied.folder / ".dvc"
    (dvc / "tmp" / "exps" / "celery").mkdir(parents=True)
    (dvc / "tmp" / "exps" / "celery" / "lock").touch()
    before = below(dvc)
    assert any(len(Path(name).name) == 64 for name in before)
    said = Scratch(copied.folder, Path(".dvc")).run("python", "-m", "pipeline", "gc", "--unfinished")
    kept = {name: content for name, content in below(dvc).items() if not name.startswith("training-state")}
    assert kept == {name: content for name, content in before.items() if not name.startswith("training-state")}
    *_, last = said.splitlines()
    assert last.startswith(".dvc/tmp") and f"set {VARIABLE} to a folder for training state alone (it is .dvc)" in last


def images(root: Path, settings: str, count: int) -> list[str]:
    """Shards of encoded images that nobody holds; their SHA-256."""
    with kept_images(root, settings, pytest.fail) as kept:
        stored = [Stored(settings, "jpg", 1, 1, bytes([number])) for number in range(count)]
        made = [kept.add(Bucket(3, number), [image]) for number, image in enumerate(stored)]
    return [shard.sha256 for _, shard in made]


def test_encoded_images_that_the_present_store_uses_stay(tmp_path: Path) -> None:
    one, other = images(tmp_path, A, 3), images(tmp_path, B, 2)
    assert collect(tmp_path, used=None) == Collected(unfinished=2), "they may be of a store that is not finished yet"
    done = collect(tmp_path, used={one[0], one[2]})
    assert (done.shards, done.removed, done.strange) == (3, 0, []) and done.bytes == 3 * 2048
    left = tmp_path / FOLDER / A
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [A]
    assert {name.rpartition("-")[2] for name in os.listdir(left)} == {f"{one[0]}.tar", f"{one[2]}.tar", "lock"}
    assert collect(tmp_path, used=set(one)) == Collected()
    assert collect(tmp_path, unfinished=True, used=set(one)).shards == 2
    assert not left.exists() and other


def test_what_a_killed_prepare_left_goes_with_the_rest(tmp_path: Path) -> None:
    (used,) = images(tmp_path, A, 1)
    (tmp_path / FOLDER / A / ".new.123.tmp").write_text("torn")
    assert collect(tmp_path, used={used}).shards == 1
    assert len(os.listdir(tmp_path / FOLDER / A)) == 2


def test_encoded_images_that_a_process_holds_stay(tmp_path: Path) -> None:
    images(tmp_path, A, 1)
    before = below(tmp_path)
    with kept_images(tmp_path, A, pytest.fail):
        assert collect(tmp_path, unfinished=True) == Collected(held=1)
    assert below(tmp_path).keys() == before.keys()


SHARD = f"03-000000-{'a' * 32}-{A}.tar"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "thesis.tex").write_text("mine"),
        lambda folder: (folder / "000000.tar").write_text("mine"),
        lambda folder: (folder / "mine").mkdir(),
        lambda folder: (folder / SHARD).mkdir(),
        lambda folder: (folder / SHARD).symlink_to(folder.parents[2] / "mine" / "file"),
        lambda folder: os.mkfifo(folder / SHARD),
        lambda folder: os.mkfifo(folder / ".new.1.tmp"),
        lambda folder: ((folder / "lock").unlink(), (folder / "lock").symlink_to(folder.parents[2] / "mine" / "file")),
        lambda folder: folder.rename(folder.with_name("abc")),
        lambda folder: (folder.rename(folder.parents[2] / "moved"), folder.symlink_to(folder.parents[2] / "moved")),
        lambda folder: (folder.parent / "file").write_text("mine"),
    ],
    ids=lambda spoil: "",
)
def test_what_is_not_ours_among_encoded_images_stays_whole_and_is_named(tmp_path: Path, spoil: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("1")
    root = tmp_path / "root"
    images(root, A, 1)
    images(root, B, 1)
    spoil(root / FOLDER / A)
    if (root / FOLDER / "file").exists():
        collect(root, unfinished=True)
        assert (root / FOLDER / "file").read_text() == "mine"
        return
    before = below(tmp_path)
    done = collect(root, unfinished=True)
    assert below(tmp_path) == {name: content for name, content in before.items() if B not in name}
    assert (done.shards, len(done.strange)) == (1, 1)


def test_a_folder_of_encoded_images_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    images(tmp_path / "elsewhere", A, 1)
    before = below(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / FOLDER).symlink_to(tmp_path / "elsewhere" / FOLDER)
    assert collect(tmp_path / "root", unfinished=True) == Collected()
    assert below(tmp_path / "elsewhere") == before


def looks(root: Path, source: str) -> Path:
    """The list of what was found of two images."""
    path = looks_file(root, source, Path("images"))
    with kept_looks(path, ["1.png", "2.png"], (0, 0, 0)) as kept:
        kept.add(0, (1, 2), Look(bytes(32), False, False))
    return path


def test_what_was_found_of_the_present_images_stays(tmp_path: Path) -> None:
    one, other = looks(tmp_path, "imagefolder"), looks(tmp_path, "manifest")
    size = other.stat().st_size
    assert collect(tmp_path) == Collected(unfinished=2), "nothing is planned"
    assert collect(tmp_path, looks={one.name}) == Collected(looks=1, bytes=size)
    assert [*one.parent.iterdir()] == [one]
    with kept_looks(one, ["1.png"], (0, 0, 0)):
        assert collect(tmp_path, unfinished=True, looks={one.name}) == Collected(held=1)
    assert collect(tmp_path, unfinished=True, looks={one.name}).looks == 1
    assert not one.parent.exists()


def test_the_present_images_are_those_that_are_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert looks_in_use(tmp_path) is None
    data = Data(source="imagefolder", root="images")
    values = data.model_dump(mode="json")
    write_specs({"prepare": PrepareSpec(node="prepare", data=values, seed=0, files=None, code={"stage": {}})}, PLAN)
    assert looks_in_use(tmp_path) == {looks_file(tmp_path, "imagefolder", tmp_path / "images").name}


def test_what_is_not_ours_among_the_lists_of_images_stays_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    folder = looks(tmp_path, "imagefolder").parent
    link = folder / looks_file(tmp_path, "manifest", Path("images")).name
    link.symlink_to(tmp_path / "mine")
    (folder / "thesis.tex").write_text("mine")
    assert sorted(collect(tmp_path, unfinished=True).strange) == sorted([link, folder / "thesis.tex"])
    assert (tmp_path / "mine").read_text() == "mine"
    moved = folder.rename(tmp_path / "moved")
    looks(tmp_path / "root", "imagefolder").unlink()
    (tmp_path / "root" / "looks").rmdir()
    (tmp_path / "root" / "looks").symlink_to(moved)
    assert collect(tmp_path / "root", unfinished=True) == Collected()
    assert (moved / "thesis.tex").exists()


def test_the_command_says_how_much(copied: Scratch) -> None:
    said = copied.run("python", "-m", "pipeline", "gc")
    found = re.fullmatch(r"removed (\d+) states, events of (\d+) stages, ([\d.]+) MB\n", said)
    assert found and int(found[1]) >= 9 and int(found[2]) >= 9 and float(found[3]) > 0, said
    assert copied.run("python", "-m", "pipeline", "gc") == "removed 0 states, 0.0 MB\n"
