"""A machine that has little more than torch."""

import os
import subprocess
import sys
from pathlib import Path

from pipeline.base.paths import CODE

# What DVC brings, and what only tests and other stages use.
ABSENT = (
    "dvc",
    "ruamel",
    "psutil",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "torch_pruning",
    "jinja2",
    "pytest",
    "hypothesis",
)
# An import of None is one of what is not installed.
START = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""


def run(folder: Path, module: str, *arguments: str) -> str:
    """Run `python -m module` of this repository in a folder, to its end; what it printed."""
    command = [sys.executable, "-c", START, module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CODE)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
