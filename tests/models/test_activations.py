import torch
from torch import nn

from pipeline.models.activations import largest_activation


def test_the_largest_activation_is_no_weight_and_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    assert largest_activation(model, 3, 12) == 4 * 8 * 12 * 12
    wide = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 1000))
    assert largest_activation(wide, 3, 12) == 4 * 1000
    assert largest_activation(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), 3, 2) == 4 * 3 * 2 * 2, "the image"
    kept = {name: each.clone() for name, each in model.state_dict().items()}
    largest_activation(model, 3, 12)
    assert model.training and all(torch.equal(each, kept[name]) for name, each in model.state_dict().items())
