"""`python -m benchmarks.gpu.digest`: the digests of some trainings, for a process that has trained them, too."""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import world
from benchmarks.gpu.arms import arms, bits
from benchmarks.gpu.setting import EPOCHS, PRECISIONS, Setting

# Of each kind: convolutions alone, labels from files, maps of features, several networks, rounding.
ARMS = ("hard", "hard, adamw", "stored", "live dkd", "live fsp", "live fitnet_joint", "mutual sequential", "on grids")


def digests(setting: Setting, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """By type of computing and name: a digest of everything that each training has after its epochs."""
    found: dict[str, dict[str, str]] = {}
    for precision in PRECISIONS:
        on = setting.device(precision)
        found[precision] = {}
        for name in names:
            of = arms(setting)[name](on)
            epochs = world.epochs(of)
            for _ in range(EPOCHS):
                next(epochs)
            whole = hashlib.sha256()
            for key, tensor in sorted(bits(of).items()):
                whole.update(key.encode() + tensor.contiguous().numpy().tobytes())
            found[precision][name] = whole.hexdigest()
    return found


if __name__ == "__main__":
    folder, is_small, *names = sys.argv[1:]
    print(json.dumps(digests(Setting(Path(folder), bool(int(is_small))), names)))
