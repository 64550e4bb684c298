"""The kinds of numbers that parameters are made of, named once. Strict: a string or a bool is no number."""

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
BelowOne = Annotated[float, Field(strict=True, ge=0, lt=1)]
Between = Annotated[float, Field(strict=True, gt=0, lt=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Bits = Annotated[int, Field(strict=True, ge=2, le=8)]
# Of ONNX: the oldest that torch writes, to the oldest that has all forms of `quantise`.
Opset = Annotated[int, Field(strict=True, ge=18, le=21)]
# What is to be left: a whole number, or a share of what there was.
Target = Count | Annotated[float, Field(strict=True, gt=0, lt=1)]
