"""Training under a live teacher: how near to what its parts cost alone, teacher forward and student step."""

from pathlib import Path
from statistics import median

from benchmarks import world
from benchmarks.measure import Figure, interleaved, of
from pipeline.training.teacher import LiveTeacher, StoredLabels

STUDENT = {"family": "residual", "depth": 20, "width": 16}


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """(Stored epoch + bare teacher forward) over a live epoch, for ResNet-110 and -56 teaching ResNet-20."""
    on = world.device()
    batch, steps = (4, 1) if tiny else (128, 1)
    data = world.images(folder, batch * steps)
    found = []
    for depth in (14, 8) if tiny else (110, 56):
        teacher = world.network(data, {"family": "residual", "depth": depth, "width": 16}, on)
        labels = world.labels(data, on.forward(teacher), folder / str(depth), on, count=1, batch=batch)
        live = LiveTeacher(teacher, on, batch, data.channels, data.size)
        arms = {
            "stored": world.epochs(
                world.training(data, STUDENT, world.SOFT, StoredLabels(labels, on), batch=batch)
            ).__next__,
            "live": world.epochs(world.training(data, STUDENT, world.SOFT, live, batch=batch)).__next__,
            "forward": world.forwards(on.forward(teacher), data, batch, on),
        }
        seconds = interleaved(arms, 1 if tiny else 9)
        rounds = zip(*(seconds[name] for name in ("stored", "forward", "live")), strict=True)
        shares = [(stored + forward) / live for stored, forward, live in rounds]
        medians = {name: median(each) for name, each in seconds.items()}
        name = f"ResNet-{depth}→20: ideal ÷ live"
        times = medians["live"] / medians["stored"]
        found.append(of(name, shares, goal=0.95, most=False, seconds=medians, note=f"live is {times:.2f} × stored"))
    return found
