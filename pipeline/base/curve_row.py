"""A row of a learning curve, as it is made, saved, shown and told."""

from typing import Any

CurveRow = dict[str, Any]  # one network's figures of one epoch
