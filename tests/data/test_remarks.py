"""Groups by a pattern on names, and what is said of images that look like a mistake."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.config.data import Data
from pipeline.config.yaml import read_yaml
from pipeline.data import groups
from pipeline.data.images import Source
from pipeline.data.keeping import Keeping
from pipeline.data.left_out import LEFT_OUT, sentences
from pipeline.data.origins import read_origins
from pipeline.data.prepare import load, prepare
from pipeline.data.prepared import read_header
from tests.data.folders import folder, picture
from tests.scratch import PARAMS


def said(root: Path, **keys: Any) -> list[str]:
    """What `prepare` says."""
    sentences: list[str] = []
    data = Data.model_validate({"source": "imagefolder", **keys})
    prepare(data, root, 0, root.parent / f"{root.name} out", origins=True, keeping=Keeping(log=sentences.append))
    return [sentence.removeprefix("prepare: ") for sentence in sentences]


def test_nothing_is_said_where_nothing_is_odd(tmp_path: Path) -> None:
    assert said(folder(tmp_path / "in", {"a": 5, "b": 5})) == []
    prepare(Data(), tmp_path, 0, tmp_path / "digits", keeping=Keeping(log=pytest.fail))


def test_what_is_left_out_is_recorded_and_binds_no_label(tmp_path: Path) -> None:
    """Beside what is said of it; a folder of which nothing is left out has no such file."""
    root = folder(tmp_path / "in", {"a": 5, "b": 5})
    assert said(root, unreadable="skip") == []
    out = tmp_path / "in out"
    whole, clean = read_header(out), sentences(out)
    (root / "a" / "notes.txt").write_text("no image")
    (root / "b" / "broken.png").write_bytes(b"no image")
    told = said(root, unreadable="skip")
    assert sentences(out) == told and clean == [] and LEFT_OUT not in whole.files
    assert any("notes.txt" in each for each in told) and any("b/broken.png" in each for each in told)
    assert read_header(out).hash == whole.hash
    (out / LEFT_OUT).write_text("[]")
    with pytest.raises(UserError, match=r"left_out\.json is damaged"):
        sentences(out)
    (out / LEFT_OUT).unlink()
    with pytest.raises(UserError, match=r"left_out\.json is missing: delete"):
        sentences(out)


def test_black_and_plain_images_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"a": 5, "b": 5})
    Image.new("RGB", (6, 6), (9, 90, 9)).save(root / "a" / "green.png")
    Image.new("RGB", (6, 6)).save(root / "a" / "black.png")
    Image.fromarray(np.arange(36, dtype=np.uint8).reshape(6, 6) % 7).save(root / "b" / "dark.png")
    assert said(root) == [
        "2 images are of one colour all over: a/black.png, a/green.png",
        "1 image is nearly black (a mean below 4 of 255): b/dark.png",
    ]


def test_copies_are_said_and_those_of_two_labels_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"a": 6, "b": 6})
    shutil.copy(root / "a" / "000.png", root / "a" / "copy.png")
    shutil.copy(root / "a" / "001.png", root / "b" / "copy.png")
    assert said(root) == [
        "2 images are copies of others, byte by byte: no split divides them",
        "1 image is there under two labels, with the same bytes: a/001.png = b/copy.png",
    ]


def test_images_in_train_and_test_are_named(tmp_path: Path) -> None:
    root = tmp_path / "in"
    folder(root / "train", {"a": 6, "b": 6})
    for name, seed in (("a", 1), ("b", 77)):
        picture(root / "test" / name / "x.png", seed=seed)
    assert said(root)[1] == (
        "1 image is there in two splits of the source's own, with the same bytes: train/a/001.png = test/a/x.png"
    )


def test_a_set_of_one_image_is_said(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        for number in range(count):
            for name in "ab":
                picture(root / split / name / f"{number}.png")
    # Units are divided by splits of the source's own alone, so that it can be prepared.
    assert said(root) == ["all 10 images have the same bytes"]


def test_groups_that_the_source_itself_divides_are_said(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        picture(root / split / "ab"[number % 2] / f"scene{number % 4}_{number}.png", seed=number)
    assert said(root, group="(scene[0-9]+)_") == [
        "4 groups are in two splits of the source's own: 'scene0', 'scene1', 'scene2', 'scene3'"
    ]


def shots(root: Path) -> Path:
    """Three shots of each of eight scenes a class."""
    for label, name in enumerate("ab"):
        for scene in range(8):
            for shot in range(3):
                picture(root / name / f"s{scene}_{shot}.png", seed=100 * label + 10 * scene + shot)
    return root


def test_a_pattern_keeps_groups_together_and_names_what_has_none(tmp_path: Path) -> None:
    root = shots(tmp_path / "in")
    picture(root / "a" / "lone.png", seed=999)
    found = said(root, group="^(.*/s[0-9]+)_")
    assert found == ["1 of 49 images have no group by data.group, and stand alone: a/lone.png"]
    out = tmp_path / "in out"
    origins = read_origins(out, read_header(out).hash)
    assert origins.paths is not None
    scenes = [{origins.paths[row].partition("_")[0] for row in rows} for rows in origins.rows.values()]
    assert not scenes[0] & scenes[1] and not scenes[0] & scenes[2] and not scenes[1] & scenes[2]
    assert sum(map(len, scenes)) == 17


def test_a_folder_that_is_renamed_keeps_its_split(tmp_path: Path) -> None:
    root = folder(tmp_path / "in" / "a", {"x": 20, "y": 9}).parent
    for number in range(12):
        picture(root / "b" / f"{number:03}.png", seed=5000 + number)

    def split_of_image() -> dict[bytes, str]:
        data = Data(source="imagefolder")
        header = prepare(data, root, 0, tmp_path / "out", origins=True)
        origins = read_origins(tmp_path / "out", header["hash"])
        assert origins.paths is not None
        return {(root / origins.paths[row]).read_bytes(): split for split, rows in origins.rows.items() for row in rows}

    before = split_of_image()
    (root / "a" / "x").rename(root / "a" / "zz")
    (root / "b" / "003.png").rename(root / "b" / "other.png")
    assert split_of_image() == before


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("s[0-9", r"data.group: is no regular expression \(unterminated character set"),
        ("s[0-9]+", r"data.group: must have one group in parentheses, such as .*, not 0: 's\[0-9\]\+'"),
        ("(s)(t)", r"data.group: must have one group in parentheses, such as .*, not 2"),
    ],
)
def test_a_pattern_that_is_none_is_refused_by_plan(pattern: str, sentence: str) -> None:
    raw = read_yaml(PARAMS)
    raw["data"] = {"source": "imagefolder", "group": pattern}
    with pytest.raises(UserError, match=sentence):
        params.check(raw, "params.yaml")


def test_a_pattern_without_effect_is_refused(tmp_path: Path) -> None:
    root = shots(tmp_path / "in")
    with pytest.raises(UserError, match=r"data.group '\(scene\)' finds no group in any name, such as 'a/s0_0.png'"):
        said(root, group="(scene)")
    (root / "manifest.csv").write_text(
        "path,label,group\n" + "".join(f"{c}/s{n}_0.png,{c},{n}\n" for c in "ab" for n in range(8))
    )
    with pytest.raises(UserError, match=r"data.group has no effect where the source names groups itself"):
        prepare(Data(source="manifest", group="(s)"), root, 0, tmp_path / "out")
    with pytest.raises(UserError, match=r"data.group has no effect where images are no files"):
        groups.grouped(Source(np.zeros((2, 1, 1, 1), np.uint8), np.arange(2), ("a", "b")), "(s)")


def test_a_pattern_that_takes_for_ever_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "SECONDS", 1)
    root = folder(tmp_path / "in", {"a" * 60: 3, "b": 3})
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"data.group '\(a\+\)\+!' takes more than 1 seconds"):
        groups.grouped(load(Data(source="imagefolder"), root), "(a+)+!")
    assert time.monotonic() - begun < 20
