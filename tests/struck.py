"""Run a stage that a signal strikes: `python struck.py <module>:<function> <n> <signal> <verb> …`.

The process sends itself the signal just before the function is called for the n-th time.
"""

import importlib
import os
import signal
import sys
from typing import Any


def strike(target: str, call: int, number: signal.Signals) -> None:
    """Replace the function by one that is struck first."""
    module, name = target.split(":")
    owner = importlib.import_module(module)
    function = getattr(owner, name)
    calls = 0

    def struck(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    setattr(owner, name, struck)


if __name__ == "__main__":
    # The code of the repository that we run in, not of the one that this file lies in.
    sys.path[0] = os.getcwd()
    _, target, call, name, *verb = sys.argv
    strike(target, int(call), signal.Signals[name])
    main = importlib.import_module("stages.__main__").main
    sys.argv = ["stages", *verb]
    main()
