"""A network that differs from its plain architecture, as data: what a node.json needs to rebuild it.

Pruned layers have other numbers, factorised and replaced ones are other modules. `describe` compares a
model with the plain one and names each module that differs; `rebuild` makes the plain one so.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from pipeline.base.errors import UserError
from pipeline.models.attention import SelfAttention
from pipeline.models.residual import Block

Description = dict[str, Any]

LAYERS: dict[str, type[nn.Module]] = {"Conv2d": nn.Conv2d, "Linear": nn.Linear, "BatchNorm2d": nn.BatchNorm2d}


def describe(model: nn.Module, plain: nn.Module) -> Description:
    """What distinguishes `model` from `plain`, fit for JSON: name of a module to its type and numbers.

    Empty where nothing does. Weights are not compared.
    """
    changes: Description = {}
    _compare("", model, plain, changes)
    return changes


def rebuild(model: nn.Module, description: Mapping[str, Any]) -> nn.Module:
    """Make the plain `model`, in place, what `description` says; its changed layers have fresh weights.

    Raises:
        UserError: The description is damaged, or of another architecture.
    """
    for name, form in description.items():
        try:
            old = model.get_submodule(name)
            if form["type"] == "Block":
                _pad(old, form)
                continue
            new = _make(form).to(next(old.parameters()).device)
            if isinstance(old, type(new)) and not isinstance(new, nn.Sequential | SelfAttention):
                _become(old, new, form)
            else:
                model.set_submodule(name, new)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"node.json, surgery: {name!r} cannot be rebuilt as {form} ({' '.join(str(error).split())}): "
                "delete that node and run `dvc repro`"
            ) from None
    return model


def _compare(name: str, module: nn.Module, plain: nn.Module, changes: Description) -> None:
    children, plain_children = dict(module.named_children()), dict(plain.named_children())
    if type(module) is not type(plain) or children.keys() != plain_children.keys():
        changes[name] = _form(module)
        return
    numbers = _numbers(module)
    if numbers != _numbers(plain):
        changes[name] = {"type": _kind(module), **numbers}
    for child, part in children.items():
        _compare(f"{name}.{child}".removeprefix("."), part, plain_children[child], changes)


def _form(module: nn.Module) -> Description:
    """A whole module, parts and all."""
    if isinstance(module, nn.Sequential):
        return {"type": "Sequential", "parts": {name: _form(part) for name, part in module.named_children()}}
    if isinstance(module, SelfAttention):
        parts = {name: _form(part) for name, part in module.named_children()}
        return {"type": "SelfAttention", **_numbers(module), "parts": parts}
    if type(module) not in LAYERS.values():
        raise TypeError(f"a {type(module).__name__} put in by surgery cannot be described")
    return {"type": _kind(module), **_numbers(module)}


def _kind(module: nn.Module) -> str:
    """The name under which a module is described: that of torch's class for a class made from it."""
    if isinstance(module, Block | SelfAttention):
        return type(module).__name__
    return next(kind for kind, layer in LAYERS.items() if isinstance(module, layer))


def _numbers(module: nn.Module) -> dict[str, Any]:
    """What the constructor of a layer takes; of a block, what its forward pass goes by."""
    match module:
        case nn.Conv2d():
            padding = module.padding if isinstance(module.padding, str) else list(module.padding)
            return {
                "in_channels": module.in_channels,
                "out_channels": module.out_channels,
                "kernel_size": list(module.kernel_size),
                "stride": list(module.stride),
                "padding": padding,
                "dilation": list(module.dilation),
                "groups": module.groups,
                "bias": module.bias is not None,
            }
        case nn.Linear():
            numbers = {"in_features": module.in_features, "out_features": module.out_features}
            return {**numbers, "bias": module.bias is not None}
        case nn.BatchNorm2d():
            return {"num_features": module.num_features}
        case SelfAttention():
            return {"heads": module.heads, "dropout": module.dropout}
        case Block():
            return {"added": module.added}
        case _:
            return {}


def _make(form: Mapping[str, Any]) -> nn.Module:
    if form["type"] == "Sequential":
        made = nn.Sequential()
        for name, part in form["parts"].items():
            made.add_module(name, _make(part))
        return made
    if form["type"] == "SelfAttention":
        parts = {name: _make(part) for name, part in form["parts"].items()}
        return SelfAttention(**parts, heads=form["heads"], dropout=form["dropout"])
    numbers = {key: tuple(value) if isinstance(value, list) else value for key, value in form.items() if key != "type"}
    return LAYERS[form["type"]](**numbers)


def _become(old: nn.Module, new: nn.Module, form: Mapping[str, Any]) -> None:
    """Give a layer the numbers and tensors of a new one: it may be more than that, such as a tapped head."""
    for key in form.keys() - {"type", "bias"}:
        setattr(old, key, getattr(new, key))
    for name, tensor in [*new.named_parameters(), *new.named_buffers()]:
        setattr(old, name, tensor)


def _pad(block: nn.Module, form: Mapping[str, Any]) -> None:
    """The channels of zeros that a residual block's shortcut adds."""
    if not isinstance(block, Block) or not isinstance(form["added"], int) or form["added"] < 0:
        raise TypeError("it is not a residual block with a number of added channels")
    block.added = form["added"]
