"""As struck.py, but later: when a remote has a file, which a thread of the stage puts there meanwhile.

`python struck_when_shared.py <remote> <pattern> <module>:<function> <n> <verb> …`: the process sends itself SIGKILL
before the function is called for the n-th time, once such a file is there.
"""

import importlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 60.0


def strike(remote: Path, pattern: str, target: str, call: int) -> None:
    """Replace the function by one that is struck first."""
    module, name = target.split(":")
    owner = importlib.import_module(module)
    function = getattr(owner, name)
    calls = 0

    def struck(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            end = time.monotonic() + PATIENCE
            while not any(re.fullmatch(pattern, path.name) for path in remote.rglob("*")):
                assert time.monotonic() < end, f"nothing was shared: {sorted(remote.rglob('*'))}"
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, struck)


if __name__ == "__main__":
    # The code of the repository that we run in, not of the one that this file lies in.
    sys.path[0] = os.getcwd()
    _, remote, pattern, target, call, *verb = sys.argv
    strike(Path(remote), pattern, target, int(call))
    main = importlib.import_module("stages.__main__").main
    sys.argv = ["stages", *verb]
    main()
