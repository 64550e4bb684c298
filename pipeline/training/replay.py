"""A function of tensors that a GPU records once, as a CUDA graph, and then replays.

A step of a small network asks for hundreds of kernels of a few microseconds each, and Python takes longer to ask for
one than the GPU to run it. Replayed, all are asked for at once. They are the very kernels, in their order, on the same
numbers, so that a result has the same bits with and without: `python -m benchmarks gpu` compares them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.console.progress import log

Given = Tensor | None | Mapping[str, Tensor]
# Calls before one is recorded: kernels are loaded, and an optimiser makes its buffers, in the first ones.
WARM = 2
# Forms of arguments that are recorded: an epoch has batches of two sizes, and each form keeps memory of its own.
MOST = 4


class Replay:
    """`function` on a device: called as it is on a CPU, recorded and replayed on a GPU.

    What it computes must follow from the tensors that it is given and from those that it always reads (weights,
    buffers, a generator of the device), never from a number in Python: that would stay what it was when recorded.
    Where it cannot be recorded it goes on as it is, more slowly, and one sentence says why.

    Args:
        function: Gives a tuple of tensors, or of mappings of tensors.
        device: Where all tensors lie.
        what: Names it in that sentence.
        can_record: Whether to try.
    """

    def __init__(
        self, function: Callable[..., tuple[Any, ...]], device: torch.device, what: str, can_record: bool = True
    ) -> None:
        self.function = function
        self.device = device
        self.what = what
        self._is_on = can_record and device.type == "cuda"
        self._called: Counter[Any] = Counter()
        self._recorded: dict[Any, _Recorded] = {}
        if self._is_on:
            # The backward pass remembers the stream of the forward pass: all calls take the one that is recorded.
            self._stream = torch.cuda.Stream(device)
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, *given: Given) -> tuple[Any, ...]:
        """What the function gives, in tensors that no later call changes."""
        if not self._is_on:
            return self.function(*given)
        form = tuple(_form(each) for each in given)
        self._called[form] += 1
        if form not in self._recorded and self._called[form] > WARM and len(self._recorded) < MOST:
            self._record(form, given)
        if form in self._recorded:
            return self._recorded[form](given)
        now = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            found = self.function(*given)
        now.wait_stream(self._stream)
        return found

    @property
    def recorded(self) -> int:
        """How many forms of arguments are replayed by now."""
        return len(self._recorded)

    def _record(self, form: Any, given: tuple[Given, ...]) -> None:
        """Record a call, which computes nothing yet."""
        random = torch.cuda.get_rng_state(self.device)
        graph = torch.cuda.CUDAGraph()
        places = tuple(_each(Tensor.clone, one) for one in given)
        try:
            # Other threads, such as the one that saves, may go on asking the GPU for their own things.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                found = self.function(*places)
        except RuntimeError as error:
            self._is_on = False
            torch.cuda.set_rng_state(random, self.device)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log(f"{self.what} cannot be recorded as a CUDA graph and is slower without: {reason}")
            return
        self._recorded[form] = _Recorded(graph, places, found)


def replayed(forward: Callable[[Tensor], Tensor], device: torch.device, what: str) -> Callable[[Tensor], Tensor]:
    """A forward pass that is recorded and replayed."""
    replay = Replay(lambda x_BCHW: (forward(x_BCHW),), device, what)
    return lambda x_BCHW: replay(x_BCHW)[0]


class _Recorded:
    """A graph, the tensors that it reads, and those that it writes."""

    def __init__(self, graph: torch.cuda.CUDAGraph, places: tuple[Given, ...], found: tuple[Any, ...]) -> None:
        self.graph, self.places, self.found = graph, places, found

    def __call__(self, given: tuple[Given, ...]) -> tuple[Any, ...]:
        for place, one in zip(self.places, given, strict=True):
            if isinstance(place, Tensor):
                assert isinstance(one, Tensor)
                place.copy_(one)
            elif place is not None:
                assert isinstance(one, Mapping)
                for name, tensor in place.items():
                    tensor.copy_(one[name])
        self.graph.replay()
        return tuple(_each(Tensor.clone, one) for one in self.found)


def _form(given: Given) -> Any:
    """All of an argument that a graph cannot change: None, or shapes, strides and types."""
    if given is None:
        return None
    if isinstance(given, Tensor):
        return tuple(given.shape), given.stride(), given.dtype
    return tuple((name, _form(tensor)) for name, tensor in given.items())


def _each(function: Callable[[Tensor], Tensor], given: Given) -> Any:
    """The function's result for a tensor, or for each tensor of a mapping."""
    if given is None:
        return None
    if isinstance(given, Tensor):
        return function(given.detach())
    return {name: function(tensor.detach()) for name, tensor in given.items()}
