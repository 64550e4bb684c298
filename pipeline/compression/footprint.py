"""`python -m pipeline.compression.footprint FOLDER BATCH`: the peak of this process's memory, in bytes.

It loads the network of a node's folder in its own runtime, on one CPU thread, and answers a batch of black images.
"""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def main(folder: Path, batch: int) -> None:
    """Load, answer, print."""
    from pipeline.lineage import node

    of = node.read_at(folder)
    assert of.architecture is not None
    shape = (batch, of.architecture["channels"], of.architecture["size"], of.architecture["size"])
    if of.format == "onnx":
        import numpy as np

        from pipeline.compression.runtime import Runtime

        Runtime(folder / "model.onnx").run(np.zeros(shape, np.float32))
    else:
        import torch

        from pipeline.models.build import rebuild
        from pipeline.models.files import load_weights

        torch.set_num_threads(1)
        model = rebuild(of.architecture).eval()
        load_weights(model, folder / "model.safetensors", "the weights")
        with torch.no_grad():
            model(torch.zeros(shape))
    print(_peak())


def _peak() -> int:
    if STATUS.exists():
        # Not getrusage's: on Linux that one remembers the process that started this one.
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
