"""Whether a GPU gives what the CPU gives, gives it twice, and goes on exactly where it was stopped.

A part yields its checks, and does nothing before one is run.
"""

import json
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import world
from benchmarks.gpu import digest
from benchmarks.gpu.arms import Build, arms, finished, stopped, training
from benchmarks.gpu.finding import Check, Finding, bounded, equal
from benchmarks.gpu.setting import PRECISIONS, Setting
from pipeline.base.paths import CODE
from pipeline.data.rows import Rows
from pipeline.evaluation import cost
from pipeline.models.build import build as build_network
from pipeline.models.files import load_weights, save_weights
from pipeline.training import replay
from pipeline.training.export import Inference
from pipeline.training.loop import Training
from pipeline.training.teacher import LiveTeacher, StoredLabels, TeacherOutput

# Of the loss, and of the gradient's largest entry. float32 rounds at 6e-8: two ways to convolve on a CPU are 1e-5 apart
# at most (rkd), and ten times that is allowed. bfloat16 keeps 8 bits, so that each layer rounds at 4e-3, forward and
# backward: on a CPU it is 0.09 apart at most (rkd, whose gradient is a small difference of large numbers).
NEAR = {"float32": 1e-4, "bfloat16": 0.25}
# Of the largest logit of a trained network: one forward pass, and no differences.
ANSWERS = {"float32": 1e-4, "bfloat16": 0.05}
# Numbers that are rounded to a grid can fall to either side of a step, as at a kink.
ROUNDED = 0.1
STOP = 8  # of 12 steps: within the second epoch
SUBPROCESS = 120.0  # seconds


def gradients(setting: Setting) -> Iterator[Check]:
    """Loss and gradient of the first step of every kind of training, against the CPU's in float32."""
    for name, build in arms(setting).items():
        yield Check(name, partial(_gradient, setting, name, build))


def _gradient(setting: Setting, name: str, build: Build) -> Iterator[Finding]:
    own = first_step(build(setting.cpu()))
    for precision in PRECISIONS:
        other = first_step(build(setting.device(precision)))
        bound = max(NEAR[precision], ROUNDED) if name == "on grids" else NEAR[precision]
        bound = NEAR["bfloat16"] if name.startswith("float16") else bound  # it has more digits than that
        yield near(f"{name}, {precision}", own, other, bound)


@contextmanager
def smooth() -> Iterator[None]:
    """Let every network be smooth, and draw nothing.

    At a ReLU's kink the last bit of an input decides whether a whole path has a gradient: two sound computations in
    float32 then differ by 2e-3 of it. And a GPU draws other numbers than a CPU, for dropout and where a loss shuffles.
    """
    rand = torch.rand
    with (
        patch.object(torch, "rand", lambda *shape, device=None: rand(*shape).to(device)),
        patch.object(F, "relu", lambda x, inplace=False: F.silu(x)),
        patch.object(F, "dropout", lambda x, p=0.5, training=True, inplace=False: x),
    ):
        yield


@smooth()
def first_step(of: Training) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses (networks, losses), and the gradient of each parameter, of smooth networks."""
    steps = of.epoch()
    next(steps)
    found = {name: each.grad for name, each in of.trained.named_parameters()}
    return of.losses_SKL[0].cpu(), {name: grad.float().cpu() for name, grad in found.items() if grad is not None}


def near(
    name: str, own: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]], bound: float
) -> Finding:
    """How far the losses and the gradient of two first steps are from each other, as shares of the largest."""
    (own_KL, own_grads), (other_KL, other_grads) = own, other
    if own_grads.keys() != other_grads.keys():
        odd = min(own_grads.keys() ^ other_grads.keys())
        return Finding(name, bound=bound, ok=False, sentence=f"Only one of the two has a gradient of {odd}.")
    # The first column is the total; the last one, the gradient's largest entry, is compared below.
    loss = float((own_KL - other_KL)[:, 0].abs().max() / own_KL[:, 0].abs().max())
    largest = max(float(grad.abs().max()) for grad in own_grads.values())
    far = {key: float((grad - other_grads[key]).abs().max()) / largest for key, grad in own_grads.items()}
    worst = max(far, key=lambda key: (not np.isfinite(far[key]), far[key]))
    sentence = f"Of the loss {loss:.1g}, of the gradient {far[worst]:.1g} in {worst}."
    # numpy's maximum keeps what is not a number, which Python's may lose.
    return bounded(name, float(np.maximum(loss, far[worst])), bound, sentence)


def repeats(setting: Setting) -> Iterator[Check]:
    """Two runs, one whose steps are not replayed, and one that was stopped and went on leave equal bytes."""
    for precision in PRECISIONS:
        for name, build in arms(setting).items():
            yield Check(f"{name}, {precision}", partial(_repeat, setting, name, build, precision))


def _repeat(setting: Setting, name: str, build: Build, precision: str) -> Iterator[Finding]:
    on = setting.device(precision)
    folders = [setting.folder / "state" / f"{name} {precision} {kind}" for kind in ("one", "two", "stopped", "plain")]
    first = build(on)
    whole, _ = finished(first, folders[0])
    if setting.on_gpu and not first.learn.recorded:
        yield Finding(f"{name}, {precision}, replayed", ok=False, sentence="Its step was not recorded as a CUDA graph.")
    again, _ = finished(build(on), folders[1])
    yield equal(f"{name}, {precision}, twice", whole, again, "Two runs")
    of = build(on)
    with patch.object(replay, "MOST", 0):
        plain, _ = finished(of, folders[3])
    yield equal(
        f"{name}, {precision}, not replayed", whole, plain, "A run whose steps were replayed and one of plain steps"
    )
    stopped(build(on), folders[2], STOP)
    resumed, printed = finished(build(on), folders[2])
    found = f"{name}, {precision}, stopped"
    if not any("going on at epoch 2" in sentence for sentence in printed):
        yield Finding(found, ok=False, sentence=f"It did not go on where it was stopped, but printed: {printed}.")
        return
    yield equal(found, whole, resumed, "A run that was stopped and the whole one")


def labels(setting: Setting) -> Iterator[Check]:
    """Stored labels are the logits of a live teacher, and train to the same bytes."""
    for precision in PRECISIONS:
        yield Check(precision, partial(_labels, setting, precision))


def _labels(setting: Setting, precision: str) -> Iterator[Finding]:
    on = setting.device(precision)
    trained, logits = [], []
    for teacher in (setting.live(on), StoredLabels(setting.labels(on, "dense"), on)):
        logits.append(_recorded(teacher))
        of = training(setting, on, world.SOFT, teacher)
        trained.append(finished(of, setting.folder / "labels" / f"{precision} {len(logits)}")[0])
    live_NC, stored_NC = (torch.cat(each) for each in logits)
    far = float((live_NC - stored_NC).abs().max())
    # Logits in bfloat16 are stored in float16, which has more digits, but steps of 2^-24 below 6e-5.
    bound = 0.0 if precision == "float32" else 2.0**-25
    yield bounded(f"logits, {precision}", far, bound, f"The largest logit is {float(live_NC.abs().max()):.3g}.")
    live, stored = trained
    yield equal(f"training, {precision}", live, stored, "Training from stored labels and under a live teacher")


def _recorded(teacher: LiveTeacher | StoredLabels) -> list[Tensor]:
    """The logits of every batch, filled while it trains."""
    output, found = teacher.output, []

    def record(v: int, rows: Rows, x_BCHW: Tensor) -> TeacherOutput:
        given = output(v, rows, x_BCHW)
        assert given.t_BC is not None
        found.append(given.t_BC.float().cpu())
        return given

    teacher.output = record
    return found


def processes(setting: Setting) -> Iterator[Check]:
    """Another process leaves the same bytes."""
    yield Check("equal bytes", partial(_processes, setting))


def _processes(setting: Setting) -> Iterator[Finding]:
    names = [name for name in digest.ARMS if name in arms(setting)]
    command = [sys.executable, "-m", "benchmarks.gpu.digest", str(setting.folder), str(int(setting.is_small)), *names]
    done = subprocess.run(command, cwd=CODE, capture_output=True, text=True, timeout=SUBPROCESS, check=False)
    if done.returncode:
        raise RuntimeError(f"another process ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    other, own = json.loads(done.stdout.splitlines()[-1]), digest.digests(setting, names)
    for precision in PRECISIONS:
        odd = [name for name in names if own[precision][name] != other[precision][name]]
        sentence = f"Another process leaves other bytes for {', '.join(odd)}." if odd else f"Of {', '.join(names)}."
        yield Finding(f"equal bytes, {precision}", len(odd), " trainings", 0, ok=not odd, sentence=sentence)


def ships(setting: Setting) -> Iterator[Check]:
    """A network that was trained there has the same logits on the CPU, and its cost can be measured there."""
    for precision in PRECISIONS:
        yield Check(precision, partial(_ships, setting, precision))


def _ships(setting: Setting, precision: str) -> Iterator[Finding]:
    on, data = setting.device(precision), setting.data
    of = training(setting, on)
    finished(of, setting.folder / "ships" / precision)
    path = setting.folder / f"{precision}.safetensors"
    save_weights(of.model.eval(), path)
    there = Inference(on, of.model, data)
    there_NC = there.predict("test")
    latency, flops = there.latency_ms(), cost.flops(of.model, data.channels, data.size)
    model = build_network(setting.network, channels=data.channels, size=data.size, classes=len(data.classes)).eval()
    load_weights(model, path, "the exported weights")
    here_NC = Inference(setting.cpu(), model, data).predict("test")
    far = float((there_NC - here_NC).abs().max() / here_NC.abs().max())
    moved = float((there_NC.argmax(1) != here_NC.argmax(1)).float().mean())
    yield bounded(f"answers, {precision}", far, ANSWERS[precision], f"{moved:.1%} of the images get another class.")
    own = cost.flops(model, data.channels, data.size)
    yield Finding(f"operations, {precision}", flops, "", own, ok=flops == own, sentence="As on the CPU.")
    yield Finding(f"latency, {precision}", latency, " ms", sentence="Of one image.")


def waits(setting: Setting) -> Iterator[Check]:
    """How often a step waits for the device; between two steps of an epoch nothing should."""
    if not setting.on_gpu:
        yield Check("every step", lambda: [Finding("every step", sentence="There is no GPU to wait for.")])
        return
    for name, build in arms(setting).items():
        yield Check(name, partial(_waits, setting, name, build))


def _waits(setting: Setting, name: str, build: Build) -> Iterator[Finding]:
    of = build(setting.device("bfloat16"))
    steps, count = of.epoch(), 2
    for _ in range(3):  # the third one is recorded
        next(steps)
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(count):
                next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    where = Counter(
        f"{each.filename}:{each.lineno}" for each in caught if "called a synchronizing" in str(each.message)
    )
    places = ", ".join(place.removeprefix(f"{CODE}/") for place, _ in where.most_common(4))
    sentence = f"A step waits for the device, in {places}." if where else ""
    yield bounded(f"waits a step, {name}", where.total() / count, 0.0, sentence)
