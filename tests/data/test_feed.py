import numpy as np
import pytest
import torch

from pipeline.config.views import Views
from pipeline.data.batches import Pixels, batches, order
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


def test_no_batches_are_no_cuts() -> None:
    pixels = Pixels(np.zeros((1, 1, 2, 2), np.uint8), CPU, 0)
    assert not list(augment_ahead(pixels, draw(Views(), 0, "train", 1, 1, 2), [], torch.zeros(1), torch.ones(1)))


@pytest.mark.parametrize("ahead", [0, 3 * ONE + 1])
@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}], ids=str)
@pytest.mark.parametrize("views", VIEWS, ids=str)
def test_a_row_is_mixed_with_the_same_view_of_its_own_partner_in_any_batch(
    views: Views, mixing: dict[str, float], ahead: int
) -> None:
    images_NCHW = np.random.default_rng(0).integers(0, 256, (COUNT, 3, EDGE, EDGE), dtype=np.uint8)
    mean_C, std_C = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    drawn = draw(views.model_copy(update=mixing), 5, "labels", 3, COUNT, EDGE)
    assert drawn.mixed is not None
    rows = [Rows.on(CPU, rows_B) for rows_B in batches(order(0, 0, COUNT), BATCH)]
    found = torch.cat([*augment_ahead(Pixels(images_NCHW, CPU, 1 << 30), drawn, rows, mean_C, std_C, ahead)])
    whole = render(torch.from_numpy(images_NCHW), drawn, torch.arange(COUNT), EDGE)
    slow = normalise(mix(whole, whole[drawn.mixed.partner_N], drawn.mixed), mean_C, std_C)
    assert torch.equal(found, slow[Rows.joined(rows).device_B])
