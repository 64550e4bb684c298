import threading

import numpy as np
import pytest
import torch

from pipeline.config.views import Views
from pipeline.data.batches import Pixels, batches, beside, order
from pipeline.data.feed import augment_ahead
from pipeline.data.render import mix, render
from pipeline.data.rows import Rows
from pipeline.data.views import augment, draw, normalise

COUNT, EDGE = 61, 7  # batches of two sizes, images whose bytes end at no round address
BATCH = 9
VIEWS = [Views(shift=2, flip=True), Views(shift=1, flip=True, scale=0.4), Views(preset="strong", hue=0.2)]
CPU = torch.device("cpu")
ONE = 4 * BATCH * 3 * EDGE * EDGE  # bytes of a batch, augmented


@pytest.mark.parametrize("ahead", [0, ONE, 3 * ONE + 1, 1 << 20])
@pytest.mark.parametrize("views", VIEWS, ids=str)
@pytest.mark.parametrize("start", [0, 2])
def test_several_batches_cut_at_once_are_the_batches_cut_one_by_one(ahead: int, views: Views, start: int) -> None:
    images_NCHW = np.random.default_rng(0).integers(0, 256, (COUNT, 3, EDGE, EDGE), dtype=np.uint8)
    pixels = Pixels(images_NCHW, CPU, 1 << 30)
    mean_C, std_C = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    drawn = draw(views, 5, "labels", 3, COUNT, EDGE)
    rows = [Rows.on(CPU, rows_B) for rows_B in batches(order(0, 0, COUNT), BATCH)][start:]
    found = list(augment_ahead(pixels, drawn, rows, mean_C, std_C, ahead))
    images = torch.from_numpy(images_NCHW)
    slow = [augment(images[each.device_B], drawn, each.device_B, mean_C, std_C) for each in rows]
    assert len(found) == len(slow) and all(map(torch.equal, found, slow))
    sizes = {each.untyped_storage().nbytes() for each in found}
    assert max(sizes) <= max(ahead, ONE), "no more is augmented at once than was allowed"


@pytest.mark.parametrize("views", [VIEWS[0], VIEWS[0].model_copy(update={"mixup": 0.4})], ids=["alone", "mixed"])
def test_what_comes_next_is_read_while_a_batch_is_in_use(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    second, read = threading.Event(), Pixels.read

    def noted(self: Pixels, rows_B: np.ndarray) -> np.ndarray | None:
        if threading.current_thread() is not threading.main_thread() and first.is_set():
            second.set()
        first.set()
        return read(self, rows_B)

    first = threading.Event()
    monkeypatch.setattr(Pixels, "read", noted)
    pixels = Pixels(np.zeros((COUNT, 3, EDGE, EDGE), np.uint8), CPU, 0)
    rows = [Rows.on(CPU, rows_B) for rows_B in batches(order(0, 0, COUNT), BATCH)]
    drawn = draw(views, 5, "labels", 3, COUNT, EDGE)
    made = augment_ahead(pixels, drawn, rows, torch.zeros(3), torch.ones(3), 0, 1)
    next(made)
    assert second.wait(20), "the next batch is read before it is asked for"
    before = threading.active_count()
    made.close()
    assert threading.active_count() == before - 1, "no thread outlives the epoch"


@pytest.mark.parametrize(("device", "budget", "expected"), [("cuda", 0, 2), ("mps", 0, 2), ("cpu", 0, 0)])
def test_threads_read_beside_a_gpu(device: str, budget: int, expected: int) -> None:
    assert beside(torch.device(device)) == expected


def test_resident_images_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data.feed.beside", lambda device: pytest.fail("asked for a thread"))
    monkeypatch.setattr("pipeline.data.batches.beside", lambda device: pytest.fail("asked for a thread"))
    pixels = Pixels(np.zeros((COUNT, 3, EDGE, EDGE), np.uint8), CPU, 1 << 30)
    rows = [Rows.on(CPU, rows_B) for rows_B in batches(order(0, 0, COUNT), BATCH)]
    made = augment_ahead(pixels, draw(VIEWS[0], 5, "labels", 3, COUNT, EDGE), rows, torch.zeros(3), torch.ones(3))
    assert len([*made]) == len([*pixels.each(rows)]) == len(rows)


def test_no_batches_are_no_cuts() -> None:
    pixels = Pixels(np.zeros((1, 1, 2, 2), np.uint8), CPU, 0)
    assert not list(augment_ahead(pixels, draw(Views(), 0, "train", 1, 1, 2), [], torch.zeros(1), torch.ones(1)))


@pytest.mark.parametrize(
    ("ahead", "budget", "threads"), [(0, 1 << 30, None), (3 * ONE + 1, 0, 0), (0, 0, 1), (0, 0, 8)]
)
@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}], ids=str)
@pytest.mark.parametrize("views", VIEWS, ids=str)
def test_a_row_is_mixed_with_the_same_view_of_its_own_partner_in_any_batch(
    views: Views, mixing: dict[str, float], ahead: int, budget: int, threads: int | None
) -> None:
    images_NCHW = np.random.default_rng(0).integers(0, 256, (COUNT, 3, EDGE, EDGE), dtype=np.uint8)
    mean_C, std_C = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    drawn = draw(views.model_copy(update=mixing), 5, "labels", 3, COUNT, EDGE)
    assert drawn.mixed is not None
    rows = [Rows.on(CPU, rows_B) for rows_B in batches(order(0, 0, COUNT), BATCH)]
    pixels = Pixels(images_NCHW, CPU, budget)
    found = torch.cat([*augment_ahead(pixels, drawn, rows, mean_C, std_C, ahead, threads)])
    whole = render(torch.from_numpy(images_NCHW), drawn, torch.arange(COUNT), EDGE)
    slow = normalise(mix(whole, whole[drawn.mixed.partner_N], drawn.mixed), mean_C, std_C)
    assert torch.equal(found, slow[Rows.joined(rows).device_B])
