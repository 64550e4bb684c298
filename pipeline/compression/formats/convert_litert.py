"""`python convert_litert.py NETWORK.pt2 MODEL.tflite`: from a program of torch.export to LiteRT's file.

It runs under the interpreter that `export.litert` names, and may use nothing of this pipeline.
"""

import sys

import litert_torch  # pyright: ignore[reportMissingImports]
import torch

program = torch.export.load(sys.argv[1])
assert program.example_inputs is not None  # what it was exported with
(x_BCHW,) = program.example_inputs[0]
litert_torch.convert(program.module(), (x_BCHW,)).export(sys.argv[2])
