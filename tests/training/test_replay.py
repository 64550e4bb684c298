"""What is recorded, replayed and given up; CUDA's own part is compared on a GPU by `python -m benchmarks gpu`."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from benchmarks import world
from pipeline.config.recipe import Recipe
from pipeline.training import replay
from pipeline.training.recipe import make_recordable, optimizer
from pipeline.training.replay import Replay

GPU = torch.device("cuda")


class Doubling:
    """Twice x plus y, with the tensors of each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, others, y=None):
        given = (x, others["y"]) if y is None else (x, y)
        self.calls.append((*given, torch.empty_like(x)))
        self.compute(self.calls[-1])
        return self.calls[-1][2], {"y": given[1] + 0}

    @staticmethod
    def compute(call):
        x, y, out = call
        out.copy_(2 * x + y)


@pytest.fixture
def function(monkeypatch):
    """A function on a GPU that is none: a graph of it computes its recorded call again."""
    function = Doubling()

    class Graph:
        def __init__(self):
            self.call = ()

        def replay(self):
            function.compute(self.call)

    @contextmanager
    def graph(graph, pool, stream, capture_error_mode):
        yield
        graph.call = function.calls[-1]

    class Stream:
        def __init__(self, device=None):
            pass

        def wait_stream(self, other):
            pass

    fakes = {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: nullcontext(),
        "graph_pool_handle": lambda: None,
        "get_rng_state": lambda device: torch.get_rng_state(),
        "set_rng_state": lambda state, device: torch.set_rng_state(state),
        "CUDAGraph": Graph,
        "graph": graph,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return function


def called(of, *, size=4, seed=0):
    """What it gives for numbers of its own, and what it should give."""
    drawn = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(size, generator=drawn) for _ in range(2))
    found, others = of(x, {"y": y})
    torch.testing.assert_close(found, 2 * x + y, rtol=0, atol=0)
    return found, others


def test_the_third_call_is_recorded_and_later_ones_are_replayed(function):
    of = Replay(function, GPU, "a step")
    for seed in range(6):
        called(of, seed=seed)
        assert of.recorded == (seed >= 2)
    assert len(function.calls) == 3


def test_no_later_call_changes_what_one_gave(function):
    of = Replay(function, GPU, "a step")
    kept = [called(of, seed=seed) for seed in range(5)]
    before = [found.clone() for found, _ in kept]
    called(of, seed=9)
    for (found, _), was in zip(kept, before, strict=True):
        assert torch.equal(found, was)


def test_what_it_is_given_stays_as_it_is(function):
    of = Replay(function, GPU, "a step")
    x, y = torch.ones(4), torch.ones(4)
    for _ in range(3):
        of(x, {"y": y})
    of(torch.zeros(4), {"y": torch.zeros(4)})
    assert torch.equal(x, torch.ones(4))


def test_each_size_is_recorded_by_itself_up_to_a_number(function, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 2)
    of = Replay(function, GPU, "a step")
    for size in (4, 5, 6):
        for seed in range(5):
            called(of, size=size, seed=seed)
    assert of.recorded == 2
    assert len(function.calls) == 3 + 3 + 5


def test_layout_and_what_is_left_out_make_another_form(function):
    of = Replay(function, GPU, "a step")
    square = torch.rand(3, 3)
    for x in (square, square.T):
        for _ in range(3):
            found, _ = of(x, {"y": square}, None)
            assert torch.equal(found, 2 * x + square)
    for _ in range(3):
        found, _ = of(square, {"y": square}, square.T)
        assert torch.equal(found, 2 * square + square.T)
    assert of.recorded == 3


def test_what_cannot_be_recorded_goes_on_as_it_is(function, monkeypatch, capsys):
    @contextmanager
    def refused(*args, **kwargs):
        yield
        torch.rand(1)
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "graph", refused)
    of = Replay(function, GPU, "a training step")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    for seed in range(5):
        called(of, seed=seed)
    assert of.recorded == 0
    # Five calls and one that failed to be recorded, which draws nothing.
    assert len(function.calls) == 6
    assert torch.equal(torch.rand(1), expected)
    printed = capsys.readouterr().out
    assert printed == (
        "a training step cannot be recorded as a CUDA graph and is slower without: "
        "operation not permitted when stream is capturing\n"
    )


def test_a_cpu_records_nothing():
    function = Doubling()
    of = Replay(function, torch.device("cpu"), "a step")
    for seed in range(5):
        called(of, seed=seed)
    assert len(function.calls) == 5


def test_what_must_not_be_recorded_is_not(function):
    of = Replay(function, GPU, "a step", can_record=False)
    for seed in range(5):
        called(of, seed=seed)
    assert len(function.calls) == 5


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_torchs_fused_optimisers_can_be_recorded(name):
    made = optimizer(Recipe(optimizer=name, epochs=1, batch_size=2, lr=0.1), torch.nn.Linear(2, 2), torch.device("cpu"))
    assert make_recordable(made)
    assert all(group.get("capturable", True) for group in made.param_groups)


def test_another_optimiser_cannot():
    made = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1, fused=False)
    assert not make_recordable(made)


def test_a_recorded_step_takes_rate_and_weights_from_the_device(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    fading = {"cross_entropy": {"weight": 1.0, "final": 0.0, "warmup": 0.0, "label_smoothing": 0.0}}
    data = world.images(tmp_path, 8, size=8)
    on_gpu, on_cpu = (
        world.training(data, {"family": "plain", "widths": [4]}, fading, batch=8).learners[0] for _ in range(2)
    )
    on_gpu.now_L = torch.zeros(2)
    on_gpu.set(0.5, 0.75)
    assert on_gpu.now_L.tolist() == [0.5, 0.25] == [0.5, *on_gpu.weights]
    # What is recorded reads what lies there when it is replayed.
    on_gpu.now_L[:] = torch.tensor([0.125, 2.0])
    assert [*on_gpu.weights] == [2.0]
    on_cpu.set(0.125, 0.0)
    for each in (on_gpu, on_cpu):
        for parameter in each.parameters:
            parameter.grad = torch.ones_like(parameter)
        each.step()
    for one, other in zip(on_gpu.parameters, on_cpu.parameters, strict=True):
        assert torch.equal(one, other)
    assert [group["lr"] for group in on_gpu.optimizer.param_groups] == [0.5]  # a number, as it is saved
