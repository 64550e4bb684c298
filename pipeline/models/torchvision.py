"""torchvision's classification networks by name, for any class count and any number of channels.

The last linear layer always has the data's classes. The first convolution is rebuilt where images
have not 3 channels; from pretrained weights it then takes the sum of the kernels over red, green and
blue, divided evenly among the data's channels: a grey image has the response of the same grey in RGB.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from pipeline.base.errors import UserError
from pipeline.config.section import unknown
from pipeline.models.files import COUNTER
from pipeline.models.net import initialise
from pipeline.models.probe import find_taps, with_taps

# These two return a tuple in training if they have auxiliary heads, and ask to be told about initialisation.
AUXILIARY = {"googlenet", "inception_v3"}


def build(*, channels: int, size: int, classes: int, name: str, pretrained: bool | str = False) -> nn.Module:
    """The network `name` of torchvision for images (B, channels, size, size), with `taps`.

    With `pretrained`, torchvision's ImageNet weights of that name (such as IMAGENET1K_V1; true is its default) for
    all but the last layer: from torch hub's cache on disk, else downloaded to it. Without, torchvision's own
    initialisation.
    """
    _known(name)
    options: dict[str, Any] = {"aux_logits": False, "init_weights": True} if name in AUXILIARY else {}
    model = models.get_model(name, weights=None, num_classes=classes, **options)
    first = _adapt_first(model, channels)
    taps, last = find_taps(model, channels, size, f"params.yaml, architecture.name: {name}")
    if pretrained:
        _load_pretrained(model, name, _weights(name, pretrained), first, last)
    return with_taps(model, taps, last)


def libraries(settings: Mapping[str, Any]) -> list[str]:
    """The packages whose versions decide what is built."""
    return ["torchvision"]


def configured(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The input (`config.input`) that pretrained weights were trained with: of those named, else of the default."""
    _known(settings["name"])
    transforms: Any = _weights(settings["name"], settings["pretrained"] or True).transforms()
    (crop,), (resize,) = transforms.crop_size, transforms.resize_size
    return {"size": crop, "mean": [*transforms.mean], "std": [*transforms.std], "margin": 1 - crop / resize}


def _known(name: str) -> None:
    valid = models.list_models(module=models)
    if name not in valid:
        raise UserError(f"params.yaml, architecture.name: {unknown('network', name, valid)}")


def _weights(name: str, pretrained: bool | str) -> WeightsEnum:
    """The weights of a network by their name; true is the default."""
    valid = models.get_model_weights(name)
    asked = "DEFAULT" if pretrained is True else str(pretrained)
    if asked not in (names := [*valid.__members__]):
        raise UserError(f"params.yaml, architecture.pretrained: {unknown(f'weights of {name}', asked, names)}")
    return valid[asked]


def _adapt_first(model: nn.Module, channels: int) -> str:
    """Make the first convolution take `channels`; returns its name."""
    name, old = next((name, part) for name, part in model.named_modules() if isinstance(part, nn.Conv2d))
    if channels != old.in_channels:
        new = nn.Conv2d(
            channels,
            old.out_channels,
            old.kernel_size,  # pyright: ignore[reportArgumentType] a pair, typed as of any length
            old.stride,  # pyright: ignore[reportArgumentType]
            old.padding,  # pyright: ignore[reportArgumentType]
            bias=old.bias is not None,
        )
        initialise(new)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, new)
    return name


def _load_pretrained(model: nn.Module, name: str, weights: WeightsEnum, first: str, last: str) -> None:
    """Fill `model` with these weights of `name`, its last layer apart."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    where = f"params.yaml, architecture.pretrained: the weights of {name}"
    try:
        # torchvision's files are pickles: only tensors are taken out of them, no code is run.
        state = weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
        _fit(state, model.state_dict(), f"{first}.weight", f"{last}.")
        model.load_state_dict(state)
    except OSError as error:
        raise UserError(
            f"{where} are not in {file} and cannot be downloaded from {weights.url} ({error}): "
            "put that file there, set pretrained to false, or give a file of weights that you have: "
            "`python -m pipeline import FILE` prints the lines, `teacher.weights` or `initial`"
        ) from None
    except (RuntimeError, KeyError, UnpicklingError, EOFError):
        raise UserError(f"{where} in {file} are damaged or of another network: delete that file") from None


def _fit(state: dict[str, Tensor], own: dict[str, Tensor], first: str, last: str) -> None:
    """Give `state` the names, the first kernel and the last layer of `own`.

    It is changed in place, because torch hides the layers' versions in it.
    """
    for key in list(state):
        tensor = state.pop(key)
        if not key.startswith(("aux", "AuxLogits", last)):
            # The files of DenseNet are older than its layers' names.
            state[re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", key)] = tensor
    channels = own[first].shape[1]
    if state[first].shape[1] != channels:
        state[first] = state[first].sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels
    for key, tensor in own.items():
        if key.startswith(last) or key.endswith(COUNTER):
            state.setdefault(key, tensor)
