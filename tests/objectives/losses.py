"""Every loss with each of its settings, and random batches to try them on."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pipeline.objectives
from pipeline.config import signature
from pipeline.objectives.compose import OPTIONAL

FOLDER = Path(str(pipeline.objectives.__file__)).parent
NAMES = signature.available(FOLDER)

CASES: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("cross_entropy", {"label_smoothing": 1.0}),
    ("soft_targets", {}),
    ("soft_targets", {"temperature": 0.5}),
    ("soft_targets", {"temperature": 20.0}),
    ("label_refinery", {}),
    ("born_again", {}),
    ("logit_matching", {}),
    ("logit_matching", {"reduction": "mean"}),
]

LOGITS: list[tuple[str, dict[str, Any]]] = [
    ("dkd", {}),
    ("dkd", {"alpha": 0.5, "beta": 2.0, "temperature": 1.0}),
    ("dist", {}),
    ("dist", {"beta": 2.0, "gamma": 0.5, "temperature": 4.0}),
    ("logit_standardisation", {}),
    ("logit_standardisation", {"temperature": 0.5}),
    ("cwtm", {}),
]

FEATURES: list[tuple[str, dict[str, Any]]] = [
    ("attention_transfer", {}),
    ("attention_transfer", {"p": 1, "normalisation": "code"}),
    ("attention_transfer", {"p": 4}),
    ("rkd_distance", {}),
    ("rkd_distance", {"metric": "l1"}),
    ("rkd_angle", {}),
    ("rkd", {}),
    ("rkd", {"distance_weight": 25.0, "angle_weight": 50.0, "metric": "l1"}),
    ("similarity_preserving", {}),
    ("similarity_preserving", {"normalisation": "rows"}),
    ("cosine_table", {}),
    ("cosine_table", {"loss": "huber"}),
    ("pkt", {}),
    ("pkt", {"normalisation": "code"}),
]


def loss(name: str) -> Callable[..., Tensor]:
    """The function that the file of that name defines."""
    return getattr(importlib.import_module(f"pipeline.objectives.{name}"), name)


def signals(rows: int, classes: int, seed: int = 0, scale: float = 3.0) -> dict[str, Tensor]:
    """A random batch: student and teacher logits, hard labels."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "z_BC": scale * torch.randn(rows, classes, generator=generator),
        "t_BC": scale * torch.randn(rows, classes, generator=generator),
        "y_B": torch.randint(classes, (rows,), generator=generator),
    }


def taken(name: str, batch: dict[str, Any]) -> list[Any]:
    """What the loss takes of a batch, in order; what may be None is None where the batch does not have it."""
    needs = signature.needs(FOLDER / f"{name}.py", name)
    return [batch[need] if need not in OPTIONAL else batch.get(need) for need in needs]
