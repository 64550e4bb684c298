"""The kinds of numbers that parameters are made of, named once. Strict: a string or a bool is no number.

Each has an upper bound, far beyond what makes sense: what is larger by a slip would end in an overflow somewhere, or
keep a machine at work without an end.
"""

from typing import Annotated

from pydantic import Field

# Its square and its cube are numbers, too, in Python. In float32 they need not be: training names what is not finite.
Positive = Annotated[float, Field(strict=True, gt=0, le=1e30, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, le=1e30, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
BelowOne = Annotated[float, Field(strict=True, ge=0, lt=1)]
Between = Annotated[float, Field(strict=True, gt=0, lt=1)]
# Of what is made one by one: epochs, views, layers, channels.
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
# Of what is there anyway, or only compared with what there is: images, bytes, parameters, FLOPs.
Amount = Annotated[int, Field(strict=True, ge=1, le=10**15)]
# A seed, for one: what torch and NumPy take.
Natural = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Bits = Annotated[int, Field(strict=True, ge=2, le=8)]
# Of ONNX: the oldest that torch writes, to the oldest that has all forms of `quantise`.
Examples = Annotated[int, Field(strict=True, ge=0, le=1000)]
Opset = Annotated[int, Field(strict=True, ge=18, le=21)]
# What is to be left: a whole number, or a share of what there was.
Target = Amount | Annotated[float, Field(strict=True, gt=0, lt=1)]
