"""One view, shown to networks of different inputs."""

import pytest
import torch
from torchvision.transforms import functional as transforms

from pipeline.config.input import Input
from pipeline.data.views import normalise
from pipeline.models.shown import Shown, resized

CPU = torch.device("cpu")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
OWN = Input(24, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
IMAGES_BCHW = torch.randint(256, (5, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def view(shown: Shown) -> torch.Tensor:
    return normalise(IMAGES_BCHW, shown.mean_C, shown.std_C)


def test_where_all_have_the_input_of_the_data_nothing_is_done() -> None:
    shown = Shown([None, None], MEAN, STD, CPU)
    x_BCHW = view(shown)
    assert torch.equal(x_BCHW, normalise(IMAGES_BCHW, torch.tensor(MEAN), torch.tensor(STD)))
    assert shown.to(None)(x_BCHW) is x_BCHW


def test_beside_another_the_data_s_input_is_the_same_bit_for_bit() -> None:
    shown = Shown([None, OWN], MEAN, STD, CPU)
    plain_BCHW = normalise(IMAGES_BCHW, torch.tensor(MEAN), torch.tensor(STD))
    assert torch.equal(shown.to(None)(view(shown)), plain_BCHW)
    alone = Shown([OWN], MEAN, STD, CPU)
    assert torch.equal(shown.to(OWN)(view(shown)), alone.to(OWN)(view(alone)))


@pytest.mark.parametrize("size", [16, 24, 7])
def test_it_is_what_torchvision_s_own_preprocessing_gives(size: int) -> None:
    own = Input(size, OWN.mean, OWN.std)
    shown = Shown([own], MEAN, STD, CPU)
    theirs_BCHW = transforms.convert_image_dtype(IMAGES_BCHW)
    theirs_BCHW = transforms.resize(theirs_BCHW, [size, size], antialias=True)
    theirs_BCHW = transforms.normalize(theirs_BCHW, [*OWN.mean], [*OWN.std])
    found_BCHW = shown.to(own)(view(shown))
    assert found_BCHW.shape == (5, 3, size, size)
    assert torch.equal(found_BCHW, theirs_BCHW)


def test_an_image_is_resized_the_same_whatever_is_beside_it_and_kept_at_its_own_size() -> None:
    x_BCHW = IMAGES_BCHW.float() / 255
    assert torch.equal(resized(x_BCHW, 24)[2:3], resized(x_BCHW[2:3], 24))
    assert resized(x_BCHW, 16) is x_BCHW
