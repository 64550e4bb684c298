"""What a network gives to learn from beside its logits: maps at the ends of its stages, and its flat features.

Any classifier of square images will do: it is asked by forward passes. Its stages end

- where timm's networks say so themselves (`feature_info`);
- else at the last of the least nested modules at each resolution.

A network of one resolution (ViT, Mixer) has blocks only: its taps are the ends of four equal parts of them. The stem is
no stage: neither what is called so, nor modules of one layer with weights where there are blocks.

Legend: B batch, C channels or classes, D features, H = W edge of a map.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.head import EMBEDDING, is_head, tap_head
from pipeline.models.reading import QUARTERS, Reading, likeliest, readings

PARTS = 4  # of a network of one resolution: as many as most others have stages
# Pooling may enlarge; the others are how attention ends, whose tables of positions look like maps.
NO_END = (nn.AdaptiveAvgPool2d, nn.Dropout, nn.Softmax)
STEM = re.compile(r"stem|embed|tokenizer", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    """A module in a forward pass: its name, itself, the shape that it gave, how that may be read."""

    name: str
    module: nn.Module
    shape: torch.Size
    readings: tuple[Reading, ...]

    @property
    def edge(self) -> int:
        """H = W of the map; those of all readings are alike, but for tokens or no tokens without a place."""
        return self.readings[0].edge(self.shape)


def with_taps(model: nn.Module, taps: Mapping[str, Reading], last: str) -> nn.Module:
    """The network with `taps`, as ours have them: those given, and then `embedding`, the input of its last layer."""
    place = tap_head(model, last)
    model.taps = (*taps, EMBEDDING)  # pyright: ignore[reportArgumentType] plain attributes
    model.reads = dict(taps)  # pyright: ignore[reportArgumentType]
    model.places = {EMBEDDING: place}  # pyright: ignore[reportArgumentType]
    return model


def find_taps(
    model: nn.Module, channels: int, size: int, where: str, explain: Callable[[Exception], str] | None = None
) -> tuple[dict[str, Reading], str]:
    """The ends of a network's stages, in order, with how each is read, and its last layer, whose input is flat.

    There are three forward passes: of two images and of three, as the first axis of a map must have so many, and one in
    training mode. The network and torch's global generator are left as they were. On the device `meta` no reading is
    tried.

    Args:
        model: Any classifier.
        channels, size: Of its images, (B, channels, size, size).
        where: The key of params.yaml that names it, and its name.
        explain: What an error of its own code is called, with its place; None where its code is of a library.

    Raises:
        UserError: It does not run on such images, does not give one tensor (B, classes), in training too, or does not
            end in a linear layer, or a 1x1 convolution of maps of one pixel.
    """
    images_3CHW = _images(channels, size, next(model.parameters()).device)
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        calls, heads, logits = _trace(model, images_3CHW[:2], where, explain)
        ends = _said(model, calls) or _stages(calls)
        taps = _tried(model, ends, images_3CHW)
        _check_training(model, images_3CHW[:2], where)
    finally:
        for module, mode in training.items():
            module.training = mode
    return taps, _last(heads, logits, where)


def _images(channels: int, size: int, device: torch.device) -> Tensor:
    """Three images (3, C, H, W): the second and the third differ from the first in one of `QUARTERS` each."""
    if device.type == "meta":
        return torch.empty(3, channels, size, size, device=device)
    generator = torch.Generator().manual_seed(0)
    images, other = torch.randn(2, 1, channels, size, size, generator=generator, device="cpu")
    images_3CHW = images.repeat(3, 1, 1, 1)
    half = size // 2
    for image_CHW, (row, column) in zip(images_3CHW[1:], QUARTERS, strict=True):
        rows, columns = (slice(half, size) if each else slice(0, half) for each in (row, column))
        image_CHW[:, rows, columns] = other[0, :, rows, columns]
    return images_3CHW.to(device)


def _trace(
    model: nn.Module, x_BCHW: Tensor, where: str, explain: Callable[[Exception], str] | None
) -> tuple[list[Call], dict[str, Tensor], Tensor]:
    """A forward pass: modules that gave a map, layers that may be the last one, logits (B, classes)."""
    calls: dict[str, Call] = {}
    heads: dict[str, Tensor] = {}
    extra = getattr(model, "num_prefix_tokens", None)

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.pop(name, None)  # so that it stands where it was called last
        for item, each in enumerate(output) if isinstance(output, tuple | list) else [(None, output)]:
            if not name or not isinstance(each, Tensor) or not each.dim() or len(each) != len(x_BCHW):
                continue
            if is_head(module, inputs, each):
                heads[name] = each.flatten(1)
            elif able := readings(each.shape, extra):
                calls[name] = Call(name, module, each.shape, tuple(replace(reading, item=item) for reading in able))
                return

    hooks = [module.register_forward_hook(partial(note, name)) for name, module in model.named_modules()]
    shape = "x".join(str(each) for each in x_BCHW.shape[1:])
    try:
        with torch.no_grad():
            logits = model(x_BCHW)
    except Exception as error:  # a network of somebody else's may raise anything
        problem = explain(error) if explain else " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{where} does not run on {shape} images ({problem}): "
            "set data.size or input.size to what it was made for, or choose another network"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    _check_logits(logits, len(x_BCHW), where, "")
    return list(calls.values()), heads, logits


def _check_logits(logits: Any, batch: int, where: str, when: str) -> None:
    if not isinstance(logits, Tensor):
        raise UserError(
            f"{where} gives a {type(logits).__name__}{when}, not one tensor of logits: choose another network"
        )
    if logits.dim() != 2 or len(logits) != batch:
        raise UserError(
            f"{where} gives {tuple(logits.shape)}{when} for {batch} images, not (images, classes): "
            "choose another network"
        )


def _check_training(model: nn.Module, x_BCHW: Tensor, where: str) -> None:
    """Refuse a network whose heads answer apart in training. Its buffers, and torch's generator, stay as they were."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            logits = torch.func.functional_call(model.train(), buffers, (x_BCHW,))
        except Exception:  # BatchNorm of single pixels, for one: whatever it is, training names it
            return
    _check_logits(logits, len(x_BCHW), where, " in training")


def _last(heads: Mapping[str, Tensor], logits: Tensor, where: str) -> str:
    """The layer that gives the logits; of two whose mean they are (DeiT, distilled), the first: of the class token."""
    fitting = [name for name, output in heads.items() if output.shape == logits.shape]
    if not fitting:
        raise UserError(f"{where} does not end in a linear layer: choose another network")
    same = [name for name in fitting if not logits.is_meta and torch.allclose(heads[name], logits)]
    return same[-1] if same else fitting[0]


def _said(model: nn.Module, calls: Iterable[Call]) -> list[Call]:
    """The stage ends that a network of timm names, without those before its first block."""
    info: Any = getattr(model, "feature_info", None) or ()
    by_name = {call.name: call for call in calls}
    named = _no_stem([by_name[each["module"]] for each in info if each.get("module") in by_name])
    first = next((number for number, call in enumerate(named) if _layers(call.module) > 1), 0)
    found = list({call.edge: call for call in named[first:]}.values())
    return _parts(named[first:]) if len(found) == 1 else found


def _stages(calls: list[Call]) -> list[Call]:
    """Where nothing is said: the ends of resolutions, or of parts of a row of blocks; without blocks, of layers."""
    maps = [call for call in calls if call.edge > 1]
    for able in (_blocks(maps), _no_stem(maps)):
        found = _ends(able)
        if len(found) == 1:
            found = _parts(_column(able)) or found
        if len(found) > 1:
            return [*found, *_pixel(found[-1], _blocks(calls))]
    return found


def _pixel(last: Call, calls: list[Call]) -> list[Call]:
    """The stage of maps of one pixel after the last one of more: of its kind and beside it.

    All others do not count, since squeeze-and-excitation and pooling make such maps everywhere.
    """
    beside = [call for call in calls if call.edge == 1 and _outer(call.name)[-1:] == _outer(last.name)[-1:]]
    return [call for call in beside if type(call.module) is type(last.module)][-1:]


def _ends(calls: list[Call]) -> list[Call]:
    """The last of the least nested modules at each resolution, in order."""
    names = {call.name for call in calls}
    depth = {name: sum(outer in names for outer in _outer(name)) for name in names}
    trunks: set[str] = set()
    while True:
        ends: dict[int, Call] = {}
        for call in calls:
            edge = call.edge
            if call.name not in trunks and (edge not in ends or depth[call.name] <= depth[ends[edge].name]):
                ends[edge] = call
        # What holds another stage is the trunk of the network, and no stage.
        chosen = {call.name for call in ends.values()}
        if not (holding := {outer for name in chosen for outer in _outer(name)} & chosen):
            return [call for call in calls if call.name in chosen]
        trunks |= holding


def _outer(name: str) -> list[str]:
    """The names of all modules around one."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _no_stem(calls: list[Call]) -> list[Call]:
    """Without what is called a stem, and without what ends no stage, such as pooling, which may enlarge."""
    return [call for call in calls if not STEM.search(call.name) and not isinstance(call.module, NO_END)]


def _blocks(calls: list[Call]) -> list[Call]:
    """Where some modules have several layers with weights, those alone; without the stem."""
    calls = _no_stem(calls)
    return [call for call in calls if _layers(call.module) > 1] or calls


def _layers(module: nn.Module) -> int:
    """Its layers with a matrix of weights; norms and scales have none."""
    return sum(parameter.numel() > max(parameter.shape, default=0) for parameter in module.parameters())


def _column(calls: list[Call]) -> list[Call]:
    """The longest row of modules of one kind in one parent; empty where none has two."""
    rows: dict[tuple[str, type], list[Call]] = {}
    for call in calls:
        rows.setdefault((call.name.rpartition(".")[0], type(call.module)), []).append(call)
    longest = max(rows.values(), key=len, default=[])
    return longest if len(longest) > 1 else []


def _parts(blocks: list[Call]) -> list[Call]:
    """The ends of `PARTS` equal parts; all where there are no more."""
    count = min(PARTS, len(blocks))
    return [blocks[len(blocks) * number // count - 1] for number in range(1, count + 1)]


def _tried(model: nn.Module, ends: list[Call], images_3CHW: Tensor) -> dict[str, Reading]:
    """How each is read. Left out is what gives no map, or does not have the images along its first axis."""
    if images_3CHW.is_meta:
        return {call.name: call.readings[0] for call in ends}
    outputs: dict[str, Tensor] = {}

    def keep(call: Call, module: nn.Module, inputs: Any, output: Any) -> None:
        item = call.readings[0].item
        outputs[call.name] = output if item is None else output[item]

    hooks = [call.module.register_forward_hook(partial(keep, call)) for call in ends]
    try:
        with torch.no_grad():
            model(images_3CHW)
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, Reading] = {}
    for call in ends:
        x, able = outputs[call.name], [replace(reading, item=None) for reading in call.readings]
        if len(x) == len(images_3CHW) and (reading := likeliest(x, able)):
            found[call.name] = replace(reading, item=call.readings[0].item)
    return found
