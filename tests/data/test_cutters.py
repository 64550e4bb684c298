"""Views that other processes decode and cut: the same bits as by threads, and nothing of them stays behind."""

import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.config.input import Rendering
from pipeline.config.views import Views
from pipeline.data.cutters import Cutters
from pipeline.data.cutting import MOST
from pipeline.data.encoded import EncodedImages
from pipeline.data.pictures import Pictures
from pipeline.data.shards import shard_name
from pipeline.data.views import draw
from tests.data.pictures import stored

COUNT, EDGE = 2 * MOST + 5, 16
SIZES = [(40 + 3 * row, 30 + row % 7) if row % 2 else (24 + row % 5, 31 + 2 * row) for row in range(COUNT)]
RENDERINGS = (Rendering(EDGE), Rendering(24, "pad", 0.1))
CROPPED = Views(flip=True, scale=0.1, ratio=1.5)
SHIFTED = Views(shift=5)  # reaches out of the pictures
WHOLE = (0, 0, 20, 20)


@pytest.fixture
def images(tmp_path: Path) -> EncodedImages:
    return stored(tmp_path / "shards", SIZES, EDGE, threads=2)


def boxes(count: int, renderings: int = 1) -> np.ndarray:
    return np.broadcast_to(np.array(WHOLE), (renderings, count, 4))


def children() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.ZombieProcess):  # it has ended, and nobody has asked how
            found += [each] if "pipeline.data.cutting" in each.cmdline() else []
    return found


@pytest.mark.parametrize("budget", [0, 1 << 30], ids=["decoded each time", "kept"])
@pytest.mark.parametrize("views", [CROPPED, SHIFTED], ids=["cropped", "shifted"])
def test_views_are_those_of_threads_to_the_bit(images: EncodedImages, budget: int, views: Views) -> None:
    by_threads = Pictures(images, RENDERINGS, torch.device("cpu"), 0)
    beside_a_gpu = Pictures(images, RENDERINGS, torch.device("cuda"), budget)
    random = np.random.default_rng(0)
    for v in (1, 2):
        drawn = draw(views.model_copy(update={"flip": False}), 3, "labels", v, COUNT, EDGE, images.sizes[:, 0])
        rows_B = random.permutation(COUNT)
        for expected, found in zip(by_threads.cut(drawn, rows_B), beside_a_gpu.cut(drawn, rows_B), strict=True):
            assert found.any() and np.array_equal(expected, found)


def test_grey_pictures_are_cut_too(tmp_path: Path) -> None:
    grey = stored(tmp_path / "shards", SIZES, EDGE, channels=1, threads=2)
    for keep in (False, True):
        (found,) = Cutters(grey, [EDGE], keep).cut(np.array([3, 1]), boxes(2))
        assert found.shape == (2, 1, EDGE, EDGE) and found[0].any() and not np.array_equal(*found)


def test_threads_that_ask_at_the_same_time_get_their_own(images: EncodedImages) -> None:
    cutters = Cutters(images, [EDGE], keep=True)
    rows = [np.random.default_rng(k).permutation(COUNT) for k in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(lambda rows_B: cutters.cut(rows_B, boxes(COUNT))[0], rows)]
    for rows_B, found in zip(rows, together, strict=True):
        np.testing.assert_array_equal(found, cutters.cut(rows_B, boxes(COUNT))[0])
    assert len({each.tobytes() for each in together}) == 8


def test_a_picture_that_is_kept_is_decoded_once(images: EncodedImages) -> None:
    cutters = Cutters(images, [EDGE], keep=True)
    rows_B = np.arange(COUNT)
    first = cutters.cut(rows_B, boxes(COUNT))[0]
    (images.folder / shard_name(0)).write_bytes(b"")
    np.testing.assert_array_equal(cutters.cut(rows_B, boxes(COUNT))[0], first)
    with pytest.raises(UserError, match="cannot be decoded here"):
        Cutters(images, [EDGE], keep=False).cut(rows_B, boxes(COUNT))


def test_an_error_leaves_the_processes_at_work(images: EncodedImages) -> None:
    cutters = Cutters(images, [EDGE], keep=False)
    path = images.folder / shard_name(0)
    content = path.read_bytes()
    place = images.places(np.array([4]))[0]
    start = int(place["offset"])
    path.write_bytes(content[:start] + b"\0" * int(place["bytes"]) + content[start + int(place["bytes"]) :])
    with pytest.raises(UserError, match=r"an image of .* cannot be decoded here \(.*\): delete artifacts/data"):
        cutters.cut(np.arange(COUNT), boxes(COUNT))
    whole_B = np.delete(np.arange(COUNT), 4)
    assert cutters.cut(whole_B, boxes(COUNT - 1))[0].any()


def test_a_shard_is_verified_before_another_process_reads_it(tmp_path: Path) -> None:
    recorded = stored(tmp_path / "shards", SIZES, EDGE, threads=2, recorded={f"shards/{shard_name(0)}": "0" * 64})
    with pytest.raises(UserError, match="is damaged"):
        Cutters(recorded, [EDGE], keep=False).cut(np.arange(2), boxes(2))


def test_a_process_that_was_killed_is_told_in_one_sentence(images: EncodedImages) -> None:
    cutters = Cutters(images, [EDGE], keep=False)
    cutters.cut(np.arange(2), boxes(2))
    for each in children():
        each.kill()
    for _ in range(2):
        with pytest.raises(UserError, match=r"a process that decodes images has ended with status -9, .*goes on where"):
            cutters.cut(np.arange(COUNT), boxes(COUNT))


def test_none_begins_before_it_is_needed_and_none_outlives_what_it_is_for(images: EncodedImages) -> None:
    cutters = Cutters(images, [EDGE], keep=True)
    assert not children()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    cutters.cut(np.arange(2), boxes(2))
    assert len(children()) == 2
    del cutters
    gc.collect()
    assert not children()
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) < descriptors, "what was kept is given back, too"


ORPHANS = """
import signal, sys, time
from pathlib import Path
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background begins without it
from pipeline.data.cutters import Cutters
from tests.data.pictures import stored
cutters = Cutters(stored(Path(sys.argv[1]), [(20, 20)] * 4, 16, threads=2), [16], True)
cutters.cut(np.arange(4), np.broadcast_to(np.array((0, 0, 20, 20)), (1, 4, 4)))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_they_end_with_whoever_began_them_and_not_by_its_signals(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tmp_path / "shards")]
    where = {"env": os.environ | {"PYTHONPATH": str(CODE)}, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **where) as began:
        assert began.stdout and began.stdout.readline() == b"ready\n"
        below = psutil.Process(began.pid).children()
        assert len(below) == 2
        for each in below:
            if number != signal.SIGKILL:
                each.send_signal(number)
        time.sleep(0.2)
        assert all(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in below)
        began.send_signal(number)
        began.wait(10)
        _, alive = psutil.wait_procs(below, 10)
        assert not alive
