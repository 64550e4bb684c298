"""Versions of the packages that build networks: no fingerprint of ours sees their code."""

import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def versions(architectures: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Of each package that builds one of these networks, as its family's `libraries` names them: name to version."""
    found: dict[str, str] = {}
    for architecture in architectures:
        family = architecture.get("family")
        module = importlib.import_module(f"pipeline.models.{family}") if family else None
        for name in getattr(module, "libraries", _none)(architecture):
            found[name] = _version(name)
    return dict(sorted(found.items()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _none(architecture: Mapping[str, Any]) -> list[str]:
    return []
