"""Torch's optimisers without their hooks for torch.compile.

Those do nothing outside of it, but import its compiler: a second of computing for each stage.
"""

from inspect import unwrap
from typing import Any

import torch
from torch.optim import SGD, AdamW, Optimizer


class _Eager(Optimizer):
    """What an optimiser has besides `step`, without hooks."""

    add_param_group = unwrap(Optimizer.add_param_group)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    zero_grad = unwrap(Optimizer.zero_grad)


class EagerSGD(_Eager, SGD):
    """SGD without hooks for torch.compile."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step, as SGD's."""
        return unwrap(SGD.step)(self, closure)


class EagerAdamW(_Eager, AdamW):
    """AdamW without hooks for torch.compile."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step, as AdamW's."""
        return unwrap(AdamW.step)(self, closure)
