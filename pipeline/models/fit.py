"""Tensors of a file, brought onto a network: other prefixes, classes in another order, another last layer.

What still does not fit is said in one sentence, with the likely reason.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.files import COUNTER

LastLayer = Literal["own", "new"]
# Parts of names that only what wraps a network puts there.
WRAPPED = re.compile(r"(^|\.)(?:(?:module|_orig_mod)\.)+")
# What others keep beside weights: heads that only help to train, counts of a moving average and of operations.
BESIDE = re.compile(r"(^|\.)(aux|AuxLogits|aux_head)\w*\.|(^|\.)(n_averaged|total_ops|total_params)$")
SHOWN = 3


@dataclass(frozen=True)
class Fitted:
    """What of a file goes into a network.

    Attributes:
        tensors: By the network's own names, in its types; without the last layer where that is new.
        named: Whether rows of the last layer were put into the data's order by the names of classes.
        notes: A sentence for each thing that was done.
    """

    tensors: dict[str, Tensor]
    named: bool
    notes: tuple[str, ...]


def fit(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    classes: Sequence[str],
    names: Sequence[str] | None = None,
    head: LastLayer = "own",
) -> Fitted:
    """The tensors that fill `model`, which stays as it is.

    Args:
        tensors: Of a file, by whatever names.
        where: The file, as messages name it.
        classes: Of the data: the network has as many logits.
        names: Of the classes of the file's last layer, in the order of its rows; None where they are not known, and
            then they are taken to be those of the data.
        head: Whether the file's last layer is taken, or the network keeps its own.

    Raises:
        UserError: They are of another network, or of other classes.
    """
    expected = model.state_dict()
    last = last_layer(model)
    found, notes = _renamed(tensors, expected)
    of_head = [key for key in expected if last is not None and key.startswith(f"{last}.")]
    if head == "new":
        if last is None:
            raise UserError(f"{where}: this network ends in no linear layer that could be new (head: new)")
        found = {key: tensor for key, tensor in found.items() if key not in of_head}
        expected = {key: tensor for key, tensor in expected.items() if key not in of_head}
        notes.append(f"the last layer, {last}, is new, for {len(classes)} classes")
    elif names is not None:
        rows, done = _rows(found.get(f"{last}.weight"), names, classes, where)
        found |= {key: found[key][rows] for key in of_head if key in found and found[key].dim()}
        notes.extend(done)
    if beside := sorted(key for key in found.keys() - expected.keys() if BESIDE.search(key)):
        notes.append(f"not taken, as this network does not have it: {_list(beside)}")
        found = {key: tensor for key, tensor in found.items() if key not in beside}
    if sentence := _difference(found, expected, f"{last}.", len(classes), bool(names)):
        raise UserError(f"{where} {sentence}")
    for key, tensor in found.items():
        _check_numbers(key, tensor, expected[key], where)
    kept = {key: found[key].detach().to(expected[key].dtype).contiguous().clone() for key in sorted(found)}
    return Fitted(kept, names is not None and head == "own", tuple(notes))


def last_layer(model: nn.Module) -> str | None:
    """The name of the layer that gives the logits: the one whose input is tapped, else the last linear one."""
    taps = getattr(model, "taps", None)
    embedding = model.get_submodule(taps[-1]) if taps else None
    named = [(name, each) for name, each in model.named_modules() if name and hasattr(each, "weight")]
    tapped = [name for name, each in named if embedding and getattr(each, "embedding", None) is embedding]
    linear = [name for name, each in named if isinstance(each, nn.Linear)]
    return [*linear, *tapped][-1] if tapped or linear else None


def _renamed(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by the names that most of the network's own are among, and what was done to get there.

    A prefix is one that at least half of the file's names share; what does not have it is left out.
    """
    wanted = {key for key in expected if not key.endswith(COUNTER)}
    unwrapped = {WRAPPED.sub(r"\1", key): key for key in tensors}
    best: tuple[int, dict[str, str], str] = (-1, {}, "")
    for renamed in ({key: key for key in tensors}, unwrapped):
        for prefix in ["", *_prefixes(renamed, len(renamed) / 2)]:
            for added in ["", *_prefixes(expected, len(expected))]:
                names = {
                    added + key.removeprefix(prefix): old for key, old in renamed.items() if key.startswith(prefix)
                }
                count = len(wanted & names.keys())
                if count > best[0]:
                    taken = ("module. and _orig_mod. and " if renamed is unwrapped else "") + prefix
                    note = f"{taken.removesuffix(' and ')} is stripped from its names" if taken else ""
                    note += f"{' and ' * bool(note)}{added} is put before its names" if added else ""
                    best = count, names, note
    _, names, note = best
    notes = [note] if note else []
    if outside := sorted(tensors.keys() - names.values()):
        notes.append(f"not taken, as outside of the network: {_list(outside)}")
    return {key: tensors[old] for key, old in names.items()}, notes


def _prefixes(names: Mapping[str, object], least: float) -> list[str]:
    """Leading parts of dotted names that at least so many of them share, from the shortest on."""
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split(".")[:-1]
        for length in range(1, len(parts) + 1):
            prefix = ".".join(parts[:length]) + "."
            counts[prefix] = counts.get(prefix, 0) + 1
    return [prefix for prefix, count in counts.items() if count >= max(least, 1)]


def _rows(
    weight: Tensor | None, names: Sequence[str], classes: Sequence[str], where: str
) -> tuple[list[int], list[str]]:
    """For each class of the data its row in the file's last layer, and what that comes to."""
    if weight is not None and len(weight) != len(names):
        raise UserError(
            f"{where}: {len(names)} names of classes are given, and its last layer has {len(weight)}: "
            "give one name a row, in its order (classes)"
        )
    row_of = {name: row for row, name in enumerate(names)}
    if twice := [name for row, name in enumerate(names) if row_of[name] != row]:
        raise UserError(f"{where}: two of its classes are called {twice[0]!r}: give each a name of its own (classes)")
    if missing := [name for name in classes if name not in row_of]:
        near = difflib.get_close_matches(missing[0], names, n=1, cutoff=0.5)
        hint = f" (did you mean its {near[0]!r}?)" if near else ""
        raise UserError(
            f"{where} does not know {len(missing)} of the {len(classes)} classes of the data, such as "
            f"{', '.join(map(repr, missing[:SHOWN]))}{hint}: correct the names (classes), or give it a new last layer "
            "(head: new)"
        )
    rows = [row_of[name] for name in classes]
    notes = []
    if rows != sorted(rows):
        notes.append("rows of its last layer are put into the data's order of classes, by their names")
    known = {*classes}
    if extra := [name for name in names if name not in known]:
        notes.append(f"{len(extra)} classes are dropped that the data does not have: {_list(extra)}")
    return rows, notes or ["its classes are those of the data, in the same order"]


def _difference(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], last: str, classes: int, named: bool
) -> str | None:
    """What does not fit, and why that may be; None where all does."""
    missing = [key for key in expected if key not in found and not key.endswith(COUNTER)]
    left = sorted(found.keys() - expected.keys())
    other = [key for key in expected if key in found and found[key].shape != expected[key].shape]
    if not (missing or left or other):
        return None
    parts = [f"lacks {len(missing)} of {len(expected)} tensors, such as {missing[0]!r}"] if missing else []
    if other:
        key = other[0]
        shapes = f"{key!r} of shape {tuple(found[key].shape)} in place of {tuple(expected[key].shape)}"
        parts.append(f"has {len(other)} of another shape, such as {shapes}")
    if left:
        parts.append(f"has {len(left)} that this network does not have, such as {left[0]!r}")
    return f"{' and '.join(parts)}: {_reason(found, expected, missing, left, other, last, classes, named)}"


def _reason(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    missing: Sequence[str],
    left: Sequence[str],
    other: Sequence[str],
    last: str,
    classes: int,
    named: bool,
) -> str:
    """The likely reason of what does not fit, and what would be right."""
    if not found.keys() & expected.keys():
        shapes = [[tuple(each.shape) for each in one.values() if each.dim()] for one in (found, expected)]
        if sorted(shapes[0]) == sorted(shapes[1]):
            return "its layers have the same shapes and other names: it was saved by another library's version of it"
        return "no name fits, so it is of another architecture"
    if not missing and not left and all(key.startswith(last) for key in other):
        count = len(found[other[0]])
        if count != classes and not named:
            return (
                f"it was trained for {count} classes and the data has {classes}: give the names of its classes "
                "(classes) where those of the data are among them, or a new last layer (head: new)"
            )
    if {*missing, *left, *other} <= {key for key in {*found, *expected} if key.startswith(last)}:
        return "its last layer is another one: give it a new one (head: new)"
    first = other[0] if other else None
    if not missing and not left and first is not None:
        was, now = found[first].shape, expected[first].shape
        if len(other) == 1 and len(was) == 4 and (was[0], was[2:]) == (now[0], now[2:]):
            return f"it was made for images of {was[1]} channels, and these have {now[1]}"
        if all("pos" in key for key in other):
            return "it was made for images of another size: set its input.size"
        return "it is the same architecture at another width or for images of another size"
    return "it is of another architecture, or of other settings of this one (its depth, its width)"


def _check_numbers(key: str, tensor: Tensor, expected: Tensor, where: str) -> None:
    if tensor.is_floating_point() != expected.is_floating_point() or tensor.is_complex():
        raise UserError(f"{where} holds {key!r} as {tensor.dtype}, where {expected.dtype} is expected")
    if not tensor.isfinite().all():
        raise UserError(f"{where} holds numbers in {key!r} that are not finite: these weights are broken")


def _list(names: Sequence[str]) -> str:
    """The first few of names, and how many more."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
