"""How long a training stands still for a saved state of 200 MB, against the whole of writing it."""

import time
from pathlib import Path

import torch
from torch import nn

from benchmarks import world
from benchmarks.measure import Figure, of, ratio
from pipeline.config.recipe import Recipe
from pipeline.training.recipe import optimizer
from pipeline.training.saving import Saver
from pipeline.training.snapshot import collect
from pipeline.training.state import State

WIDTH, DEPTH = 1000, 25  # with the momentum of each weight 200 MB
ROUNDS = 15


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """The seconds of the clock on the wall: a disk computes nothing."""
    on = world.device()
    learner = on.place(nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(1 if tiny else DEPTH))))
    stepping = optimizer(Recipe(epochs=1, batch_size=1, lr=0.1), learner, on.where)
    for parameter in learner.parameters():
        parameter.grad = torch.ones_like(parameter)
    stepping.step()
    tensors = collect(learner, [stepping], torch.zeros(1, device=on.where))
    seconds: dict[str, list[float]] = {"still": [], "whole": []}
    with Saver(State(folder), on.where, every=1e9) as saver:
        for number in range((2 if tiny else ROUNDS) + 1):
            began = time.perf_counter()
            saver.save(tensors, {})
            still = time.perf_counter() - began
            saver.wait()
            if number:  # the first one finds its memory
                seconds["still"].append(still)
                seconds["whole"].append(time.perf_counter() - began)
    megabytes = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
    return [
        of(f"{megabytes:.0f} MB: the training stands still", seconds["still"], unit=" s"),
        ratio(f"{megabytes:.0f} MB: standing still ÷ the whole save", seconds, "still", "whole", goal=0.25),
    ]
