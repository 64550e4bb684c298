"""A network of the user's own: what a function, or a class, of a file in the repository builds.

    architecture: {family: own, module: networks.py, build: student, width: 1.5}

It is handed `channels`, `size` and `classes` by name where it takes them, and the further keys as arguments. Plan reads
the file and all that it imports of the repository without running any of it (`planning/own.py`).
"""

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from pipeline.base.errors import UserError
from pipeline.config import own, own_files
from pipeline.models.probe import find_taps, with_taps

WHERE = "params.yaml, architecture"


def build(*, channels: int, size: int, classes: int, module: str, build: str, **arguments: Any) -> nn.Module:
    """The network that function `build` of the file `module` makes for images (B, channels, size, size), with `taps`.

    Without `taps` of its own they are found. `module` is relative to the repository; it runs as a part of a package
    that is its folder: `from .blocks import Block` finds the file beside it, as does `from blocks import Block`.

    Raises:
        UserError: It raises an error, which is named with file and line; what it returns is no network that gives
            (B, classes) logits of such images and ends in a linear layer.
    """
    path = own.path(module)
    offered = {"channels": channels, "size": size, "classes": classes}
    takes = own.takes(module, build)
    handed = {key: value for key, value in offered.items() if key in takes}
    with _beside(path), _named(path):
        model = getattr(_loaded(path), build)(**handed, **arguments)
    where = f"{WHERE}: {build} of {module}"
    if not isinstance(model, nn.Module):
        raise UserError(f"{where} returns a {type(model).__name__}: it must return a torch.nn.Module")
    model.train()
    taps, last = find_taps(model, channels, size, where, lambda error: _explained(error, path))
    head = model.get_submodule(last)
    found = getattr(head, "out_features", None) or getattr(head, "out_channels", None)
    if found != classes:
        raise UserError(f"{where} gives {found} logits and the data has {classes} classes: let it take `classes`")
    own_taps = getattr(model, "taps", None)
    return model if own_taps else with_taps(model, taps, last)


def arguments(settings: Mapping[str, Any], further: Mapping[str, Any], where: str) -> None:
    """Check the further keys by the signature; plan runs this alone."""
    from pipeline.config import own

    own.check(settings["module"], settings["build"], further, where)


def libraries(settings: Mapping[str, Any]) -> list[str]:
    """The packages whose versions decide what is built."""
    return own_files.libraries(settings["module"], ("timm", "torchvision"))


def _loaded(path: Path) -> ModuleType:
    """The module, run once in a process."""
    package = f"own_networks_{abs(hash(path.parent))}"
    if package not in sys.modules:
        spec = importlib.util.spec_from_loader(package, None, is_package=True)
        assert spec
        made = importlib.util.module_from_spec(spec)
        made.__path__ = [str(path.parent)]
        sys.modules[package] = made
    name = f"{package}.{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let files beside it, and those of the repository, be imported by their names, as where it is run."""
    added = [str(path.parent), str(own.repository())]
    sys.path[:0] = added
    try:
        yield
    finally:
        for each in added:
            sys.path.remove(each)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of the user's code as one sentence with file and line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{WHERE}: {_explained(error, path)}") from None


def _explained(error: Exception, path: Path) -> str:
    """What went wrong, and the last line of the user's own files on the way there."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):
        return f"{own.shown(Path(error.filename or path))}, line {error.lineno}: {reason}"
    root = own.repository()
    inside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root)
        and Path(frame.filename).is_relative_to(path.parent)
        and "site-packages" not in frame.filename
    ]
    return f"{own.shown(Path(inside[-1].filename))}, line {inside[-1].lineno}: {reason}" if inside else reason
