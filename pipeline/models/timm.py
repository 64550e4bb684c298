"""timm's classifiers by name, for any class count and any number of channels.

A name may have a tag (`resnet50.a1_in1k`), and may be an id of the Hugging Face hub (`hf-hub:timm/resnet50.a1_in1k`).
Further keys of the architecture are arguments of timm's own (`drop_path_rate: 0.1`). From pretrained weights timm
makes the first convolution fit the channels of the data, and leaves the last layer fresh.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from pipeline.base.errors import UserError
from pipeline.config.section import unknown
from pipeline.models.net import renew
from pipeline.models.probe import find_taps, with_taps

HUB = "hf-hub:"
# By what timm calls it, what `config.input` does.
FRAMINGS = {"center": "crop", "squash": "squash", "border": "pad"}
NAME = "params.yaml, architecture.name"


def build(
    *, channels: int, size: int, classes: int, name: str, pretrained: bool = False, **arguments: Any
) -> nn.Module:
    """The network `name` of timm for images (B, channels, size, size), with `taps`.

    With `pretrained`, the weights of the name's tag, else timm's default ones: from the hub's cache on disk, else
    downloaded to it.

    Raises:
        UserError: timm is not installed, or has no such network, tag or argument; weights cannot be had; or it is
            not one that takes such images and ends in a linear layer.
    """
    timm = _timm()
    config = _configuration(timm, name)
    if fixed := [key for key in ("num_classes", "in_chans", "img_size", "pretrained_cfg") if key in arguments]:
        raise UserError(
            f"params.yaml, architecture.{fixed[0]}: the data and the network's input decide it: leave it out"
        )
    # Of a network whose layers are made for one size, timm is told another one.
    sized = {"img_size": size} if config.fixed_input_size and config.input_size[-1] != size else {}
    try:
        model = timm.create_model(
            name, pretrained=pretrained, num_classes=classes, in_chans=channels, **sized, **arguments
        )
    except Exception as error:  # of timm's, the hub's and the network's classes
        raise UserError(_refusal(error, name, size, pretrained)) from None
    taps, last = find_taps(model, channels, size, f"{NAME}: {name}")
    if pretrained:
        renew(model.get_submodule(last))
    return with_taps(model, taps, last)


def libraries(settings: Mapping[str, Any]) -> list[str]:
    """The packages whose versions decide what is built."""
    return ["timm"]


def configured(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The input (`config.input`) that the weights of that name were trained with."""
    config = _configuration(_timm(), settings["name"])
    found = {"size": config.input_size[-1], "mean": [*config.mean], "std": [*config.std]}
    return found | {"framing": FRAMINGS.get(config.crop_mode, "crop"), "margin": max(0.0, 1 - config.crop_pct)}


def _timm() -> Any:
    try:
        import timm  # pyright: ignore[reportMissingImports] an extra
    except ImportError as error:
        raise UserError(
            "params.yaml, architecture.family is timm, which is not installed here "
            f"({error}): run `pip install -e .[timm]`"
        ) from None
    return timm


def _configuration(timm: Any, name: str) -> Any:
    """What timm knows of a network's input. Raises `UserError` where it knows no such network."""
    if name.startswith(HUB):
        return _of_hub(name)
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise UserError(f"{NAME}: {unknown('network', base, timm.list_models())}")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        raise UserError(f"{NAME}: {unknown(f'weights of {base}', tag, tags)}")
    # A network without any published weights has no configuration but timm's general one.
    return timm.models.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


def _of_hub(name: str) -> Any:
    from timm.models import PretrainedCfg  # pyright: ignore[reportMissingImports]
    from timm.models._hub import load_model_config_from_hf  # pyright: ignore[reportMissingImports]

    try:
        found = load_model_config_from_hf(name.removeprefix(HUB))[0]
    except Exception as error:  # of the hub's many classes
        raise UserError(_unreachable(error, name)) from None
    known = PretrainedCfg.__dataclass_fields__
    return PretrainedCfg(**{key: value for key, value in found.items() if key in known})


def _refusal(error: Exception, name: str, size: int, pretrained: bool) -> str:
    reason = " ".join(str(error).split())
    if found := re.search(r"unexpected keyword argument '(\w+)'", reason):
        if found[1] == "img_size":
            return f"{NAME}: {name} cannot be built for images of {size} pixels: leave input.size out"
        return f"params.yaml, architecture.{found[1]}: {name} of timm takes no such argument: leave it out"
    if pretrained and not isinstance(error, TypeError | AssertionError):
        return _unreachable(error, name)
    return f"{NAME}: timm cannot build {name} ({reason})"


def _unreachable(error: Exception, name: str) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"{NAME}: what {name} needs is not in the hub's cache on this machine and cannot be downloaded ({reason}): "
        "run it once where there is a network, set pretrained to false, or give a file of weights that you have: "
        "`python -m pipeline import FILE` prints the lines, `teacher.weights` or `initial`"
    )
