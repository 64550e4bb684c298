"""What channels last saves of a supervised step in float32, in which `auto` takes it on a GPU and not on a CPU."""

from pathlib import Path
from typing import Any

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from benchmarks.precision import step

LAYOUTS = ("channels_last", "contiguous")
# Networks, and the edge of their images in pixels.
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "plain [4, 8]": ({"family": "plain", "widths": [4, 8]}, 8),
    "ResNet-20": ({"family": "residual", "depth": 20, "width": 16}, 32),
    "MobileNetV3-Small": ({"family": "torchvision", "name": "mobilenet_v3_small", "pretrained": False}, 96),
}


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """A step of each network in each layout."""
    batch, rounds = (4, 1) if tiny else (128, 9)
    found = []
    for name, (architecture, size) in NETWORKS.items():
        data, arms = world.images(folder, batch, size=size), {}
        for layout in LAYOUTS:
            on = world.device("float32", memory_format=layout)
            model = world.network(data, architecture, on).train().requires_grad_(True)
            arms[layout] = step(model, model, on, batch, size)
        seconds = interleaved(arms, rounds)
        found.append(ratio(f"{name}, {size}×{size}: step with channels last ÷ without", seconds, *LAYOUTS))
    return found
