"""Where each prepared image came from: traced to the very pixels of its source, in a file that changes no other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.base.files import read_sealed, sha256, write_sealed
from pipeline.config.data import Data
from pipeline.data.images import Files
from pipeline.data.origins import ORIGINS, read_origins
from pipeline.data.prepare import load, prepare
from pipeline.data.prepared import SPLITS, read
from tests.data.folders import folder


def prepared_with(root: Path, out: Path, **settings: Any) -> Data:
    data = Data.model_validate({"source": "digits", "validation": 0.25, "test": 0.2, **settings})
    prepare(data, root, 0, out, origins=True)
    return data


def test_each_row_is_the_image_of_its_number(tmp_path: Path) -> None:
    data = prepared_with(tmp_path, tmp_path / "out", per_class=20, label_noise=0.5)
    source, found = load(data, tmp_path), read(tmp_path / "out")
    origins = read_origins(tmp_path / "out", found.hash)
    assert (origins.count, origins.paths) == (1797, None)
    for split in SPLITS:
        assert not isinstance(source.images, Files)
        assert np.array_equal(getattr(found, split).images, source.images[origins.rows[split]])
    every = np.concatenate([*origins.rows.values()]).tolist()
    assert len({*every}) == len(every) == len(found.train) + len(found.validation) + len(found.test)
    assert origins.name(3) == "3"


def test_an_image_of_a_folder_has_its_path_and_those_of_its_own_test_split_are_counted_on(tmp_path: Path) -> None:
    root = tmp_path / "images"
    folder(root / "train", {"cat": 4, "dog": 5})
    folder(root / "test", {"cat": 2, "dog": 1})
    prepared_with(root, tmp_path / "out", source="imagefolder", test=0.2)
    found = read(tmp_path / "out")
    origins = read_origins(tmp_path / "out", found.hash)
    assert origins.count == 12 and origins.paths is not None
    assert origins.paths[8:10] == ("train/dog/004.png", "test/cat/000.png")
    assert origins.name(8) == "'train/dog/004.png'"
    for split in SPLITS:
        for image, number in zip(getattr(found, split).images, origins.rows[split], strict=True):
            with Image.open(root / origins.paths[number]) as opened:
                assert np.array_equal(image, np.asarray(opened).transpose(2, 0, 1))
    assert origins.rows["test"].tolist() == [9, 10, 11]


def test_it_changes_no_other_file(tmp_path: Path) -> None:
    prepared_with(tmp_path, tmp_path / "with")
    prepare(
        Data.model_validate({"source": "digits", "validation": 0.25, "test": 0.2}), tmp_path, 0, tmp_path / "without"
    )
    hashes = [{path.name: sha256(path) for path in (tmp_path / name).iterdir()} for name in ("with", "without")]
    assert hashes[0].keys() - hashes[1].keys() == {ORIGINS}
    assert hashes[0].items() >= hashes[1].items()


def test_of_other_images_it_is_refused(tmp_path: Path) -> None:
    prepared_with(tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match=r"origins.json is of other images than lie beside it"):
        read_origins(tmp_path / "out", "0" * 64)
    value = read_sealed(tmp_path / "out" / ORIGINS)
    write_sealed(tmp_path / "out" / ORIGINS, value | {"schema": 0})
    with pytest.raises(UserError, match=r"is of schema 0"):
        read_origins(tmp_path / "out", value["data_hash"])
