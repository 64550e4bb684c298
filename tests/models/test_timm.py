"""timm's classifiers behind our interface, where timm is installed."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.config.network import complete_architecture
from pipeline.models import torchvision as ours
from pipeline.models.build import build, rebuild
from pipeline.models.libraries import versions
from pipeline.models.taps import tapped
from tests.models.nets import taps

timm = pytest.importorskip("timm", reason="timm is an extra: pip install -e .[timm]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

from pipeline.models import timm as family  # noqa: E402


def net(name: str = "test_resnet", *, channels: int = 3, size: int = 64, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return build({"family": "timm", "name": name, **settings}, channels=channels, size=size, classes=5)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_mambaout"])
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 96)])
def test_any_of_them_takes_the_data_s_channels_classes_and_the_size_of_its_input(
    name: str, channels: int, size: int
) -> None:
    model = net(name, channels=channels, size=size)
    with tapped(model, ["embedding"]) as outputs:
        z_BC = model(torch.randn(2, channels, size, size))
    assert z_BC.shape == (2, 5) and outputs["embedding"].dim() == 2
    assert taps(model)[-1] == "embedding"


def test_it_is_timm_s_own_network_to_the_bit() -> None:
    model = net(drop_path_rate=0.1)
    torch.manual_seed(0)
    plain = timm.create_model("test_resnet", num_classes=5, drop_path_rate=0.1)
    plain.load_state_dict(model.state_dict())
    x_BCHW = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.eval()(x_BCHW), plain.eval()(x_BCHW))
    rates = {getattr(each, "drop_prob", 0.0) for each in model.modules() if type(each).__name__ == "DropPath"}
    assert max(rates) == pytest.approx(0.1)


def test_a_node_s_network_is_built_again() -> None:
    architecture = {"family": "timm", "name": "test_vit.r160_in1k", "pretrained": True}
    again = rebuild({**architecture, "channels": 1, "size": 32, "classes": 5})
    assert again(torch.randn(2, 1, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet81"}, r"architecture\.name: unknown network 'resnet81', did you mean 'resnet\d+"),
        (
            {"name": "resnet18.a1_in2k"},
            r"\.name: unknown weights of resnet18 'a1_in2k', did you mean 'a1_in1k'",
        ),
        ({"drop_paht_rate": 0.1}, r"architecture\.drop_paht_rate: test_resnet of timm takes no such argument"),
        ({"num_classes": 3}, r"architecture\.num_classes: the data and the network's input decide it"),
    ],
)
def test_what_does_not_fit_is_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        net(**{"name": "test_resnet", **settings})


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "hf-hub:timm/test_resnet.r160_in1k"])
def test_without_a_network_weights_are_named_in_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("no route to host")

    for where in ("timm.models._hub.hf_hub_download", "timm.models._hub.download_cached_file"):
        monkeypatch.setattr(where, offline)
    monkeypatch.setattr("timm.models._hub.has_hf_hub", lambda necessary=False: True)
    with pytest.raises(
        UserError, match=r"what .*test_resnet\.r160_in1k needs is not in the hub's cache .*no route.*teacher\.weights"
    ):
        net(name, pretrained=True)


def test_pretrained_weights_are_fed_what_they_were_trained_with() -> None:
    settings = complete_architecture({"family": "timm", "name": "vit_base_patch16_clip_224.openai", "pretrained": True})
    found = family.configured(settings)
    assert (found["size"], found["framing"]) == (224, "crop")
    assert found["mean"] == pytest.approx([0.4815, 0.4578, 0.4082], abs=1e-4)
    assert found["margin"] == pytest.approx(0.1)
    assert family.configured({"name": "efficientnet_lite0"})["margin"] == pytest.approx(0.125)


def test_its_version_is_known() -> None:
    assert versions([{"family": "timm", "name": "resnet18"}]) == {"timm": timm.__version__}


def test_torchvision_s_weights_are_named_and_say_what_they_were_trained_with() -> None:
    settings = {"name": "resnet50", "pretrained": "IMAGENET1K_V2"}
    assert ours.configured(settings)["margin"] == pytest.approx(1 - 224 / 232)
    assert ours.configured({"name": "resnet50", "pretrained": "IMAGENET1K_V1"})["margin"] == 0.125
    with pytest.raises(UserError, match="unknown weights of resnet50 'IMAGENET1K_V3', did you mean 'IMAGENET1K_V"):
        ours.configured({"name": "resnet50", "pretrained": "IMAGENET1K_V3"})
