"""torchvision's nets behind our interface: heads, channels, taps, pretrained weights without a network."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision import models

from pipeline.base.errors import UserError
from pipeline.models.build import build
from pipeline.models.files import load_weights, save_weights
from pipeline.models.taps import tapped
from tests.models.nets import taps

SMALL = "shufflenet_v2_x0_5"
FILE = Path(models.get_model_weights(SMALL)["DEFAULT"].url).name


def net(name: str = SMALL, *, channels: int = 3, size: int = 32, classes: int = 5, pretrained: bool = False):
    torch.manual_seed(0)
    architecture = {"family": "torchvision", "name": name, "pretrained": pretrained}
    return build(architecture, channels=channels, size=size, classes=classes)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    """Torch hub's folder of checkpoints, empty, on a machine without a network."""

    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "channels", "stages"),
    [
        ("resnet18", 1, ("layer1", "layer2", "layer3", "layer4")),
        (SMALL, 4, ("stage2", "stage3", "stage4")),
        ("mobilenet_v3_small", 3, ("features.1", "features.3", "features.8", "features.11")),
        ("googlenet", 1, ("inception3b", "inception4e", "inception5b")),
    ],
)
def test_head_channels_and_taps_fit(name: str, channels: int, stages: tuple[str, ...]):
    model = net(name, channels=channels)
    assert model.training
    assert taps(model) == (*stages, "embedding")
    with tapped(model, taps(model)) as outputs:
        z_BC = model(torch.randn(2, channels, 32, 32))
    assert z_BC.shape == (2, 5)
    assert all(outputs[stage].dim() == 4 for stage in stages)
    head = next(module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 5)
    torch.testing.assert_close(nn.functional.linear(outputs["embedding"], head.weight, head.bias), z_BC)


def test_keys_are_those_of_torchvision_so_that_its_files_fit(tmp_path: Path):
    model = models.get_model(SMALL, num_classes=5)
    save_weights(model, tmp_path / "model.safetensors")
    ours = net()
    load_weights(ours, tmp_path / "model.safetensors", "the teacher's weights")
    x_BCHW = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(ours.eval()(x_BCHW), model.eval()(x_BCHW))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet81", 32, r"architecture\.name: unknown network 'resnet81', did you mean 'resnet\d+'"),
        ("alexnet", 8, r"architecture\.name: alexnet does not run on 3x8x8 images"),
        ("squeezenet1_1", 64, r"architecture\.name: squeezenet1_1 does not end in a linear layer"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, size: int, message: str):
    with pytest.raises(UserError, match=message):
        net(name, size=size)


def test_without_network_the_file_that_is_sought_is_named(hub: Path):
    with pytest.raises(UserError, match=r"architecture\.pretrained: .* no route to host") as caught:
        net(pretrained=True)
    assert str(hub / FILE) in str(caught.value)
    assert "teacher.weights" in str(caught.value), "it says how a file of one's own is given"


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_a_damaged_file_is_named(hub: Path, content: bytes):
    (hub / FILE).write_bytes(content)
    with pytest.raises(UserError, match="damaged or of another network") as caught:
        net(pretrained=True)
    assert str(hub / FILE) in str(caught.value)


def test_a_file_of_another_network_is_refused(hub: Path):
    torch.save(models.get_model("shufflenet_v2_x1_0").state_dict(), hub / FILE)
    with pytest.raises(UserError, match="damaged or of another network"):
        net(pretrained=True)


class Trap:
    """Its unpickling would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_code_in_a_weights_file_is_not_run(hub: Path, tmp_path: Path):
    torch.save({"conv1.0.weight": Trap(tmp_path / "ran")}, hub / FILE)
    with pytest.raises(UserError, match="damaged or of another network"):
        net(pretrained=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pretrained_weights_fill_all_but_the_head(hub: Path, channels: int):
    torch.manual_seed(7)
    source = models.get_model(SMALL)
    state = source.state_dict()
    for key in [key for key in state if key.endswith("num_batches_tracked")]:
        del state[key]  # as in torchvision's oldest files
    torch.save(state, hub / FILE)
    ours = net(channels=channels, pretrained=True)
    weights = ours.state_dict()
    assert weights["fc.weight"].shape[0] == 5
    others = [key for key in state if not key.startswith(("fc.", "conv1.0."))]
    assert len(others) > 100
    assert all(torch.equal(weights[key], state[key]) for key in others)
    grey_B1HW = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        theirs_BCHW = source.get_submodule("conv1")[0](grey_B1HW.expand(-1, 3, -1, -1))  # pyright: ignore
        ours_BCHW = ours.get_submodule("conv1")[0](grey_B1HW.expand(-1, channels, -1, -1))  # pyright: ignore
    torch.testing.assert_close(ours_BCHW, theirs_BCHW, rtol=1e-4, atol=1e-5)


def test_the_old_names_of_densenet_are_read(hub: Path):
    source = models.get_model("densenet121")
    state = {}
    for key, value in source.state_dict().items():
        for layer in ("norm1", "norm2", "conv1", "conv2"):
            key = key.replace(f".{layer}.", f".{layer[:-1]}.{layer[-1]}.") if "denselayer" in key else key
        state[key] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, hub / Path(models.get_model_weights("densenet121")["DEFAULT"].url).name)
    ours = net("densenet121", pretrained=True).state_dict()
    key = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(ours[key], source.state_dict()[key])
