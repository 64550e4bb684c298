"""`python -m benchmarks.gpu.digest`: the digests of some trainings, for a process that has trained them, too."""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import world
from benchmarks.gpu.arms import arms, bits
from benchmarks.gpu.setting import EPOCHS, Setting

# One of each kind of kernel: convolutions alone, labels from files, maps of features, several networks, rounding.
ARMS = ("hard", "hard, adamw", "stored", "live dkd", "live fsp", "live fitnet_joint", "mutual sequential", "on grids")


def digests(setting: Setting, precision: str, names: Sequence[str]) -> dict[str, str]:
    """A digest of everything that each of these trainings has after two epochs."""
    on = setting.device(precision)
    found = {}
    for name in names:
        of = arms(setting)[name](on)
        epochs = world.epochs(of)
        for _ in range(EPOCHS):
            next(epochs)
        whole = hashlib.sha256()
        for key, tensor in sorted(bits(of).items()):
            whole.update(key.encode() + tensor.contiguous().numpy().tobytes())
        found[name] = whole.hexdigest()
    return found


if __name__ == "__main__":
    folder, is_small, precision, *names = sys.argv[1:]
    print(json.dumps(digests(Setting(Path(folder), bool(int(is_small))), precision, names)))
