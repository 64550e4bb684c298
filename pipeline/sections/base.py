"""What every section of params.yaml shares: frozen, complete, no unknown keys."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of params.yaml. Unknown keys are refused with the nearest valid one."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown(cls, values: Any) -> Any:
        """Name the nearest valid key, which pydantic's own message does not."""
        if isinstance(values, Mapping):
            names = [field.alias or name for name, field in cls.model_fields.items()]
            for key in values:
                if key not in names and key not in cls.model_fields:
                    raise fault(unknown("key", str(key), names))
        return values


def fault(sentence: str) -> PydanticCustomError:
    """A validation error whose message is already the sentence to show."""
    return PydanticCustomError("fault", "{sentence}", {"sentence": sentence})


def unknown(what: str, name: str, valid: Iterable[str]) -> str:
    """The sentence for a name that is not there: the nearest valid one, or all of them."""
    valid = sorted(valid)
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"valid: {', '.join(valid)}"
    return f"unknown {what} {name!r}, {hint}"
