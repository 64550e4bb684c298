"""Whether saved training is put to the remote, too: in a file of its own, that no training's code names."""

import os
from dataclasses import dataclass

from pipeline.base.errors import UserError
from pipeline.base.paths import PLAN
from pipeline.planning.specs.spec import Spec, read_spec

VARIABLE = "COHOBATE_SHARE_STATE"  # for who starts stages elsewhere: 1 asks for it, 0 does not, whatever plan wrote
NAME = "sharing"


@dataclass(frozen=True, kw_only=True)
class SharingSpec(Spec):
    """`machine.share_state` of params.yaml; plan writes it where that is true."""

    share_state: bool


def is_asked() -> bool:
    """Whether the environment asks for it, or plan does where that says nothing.

    Raises:
        UserError: The environment says something else than 0 or 1.
    """
    if given := os.environ.get(VARIABLE):
        if given not in ("0", "1"):
            raise UserError(f"{VARIABLE} must be 0 or 1, not {given!r}")
        return given == "1"
    return (PLAN / f"{NAME}.json").exists() and read_spec(NAME, SharingSpec).share_state
