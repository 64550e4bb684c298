"""What every section of params.yaml shares: frozen, complete, no unknown keys."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.config.effect import Needs, idle


class Section(BaseModel):
    """A part of params.yaml. Unknown keys are refused with the nearest valid one, and so are keys without an effect.

    NEEDS: see `config.effect`. filled_in: whether it has keys of another section, which are no fault where they have
    no effect; `config.across` tells those from its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    NEEDS: ClassVar[Needs] = {}
    filled_in: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown(cls, values: Any) -> Any:
        """Name the nearest valid key, which pydantic's own message does not."""
        if isinstance(values, Mapping):
            names = [field.alias or name for name, field in cls.model_fields.items()]
            for key in values:
                if key not in names:
                    raise fault(unknown("key", str(key), names))
        return values

    @model_validator(mode="after")
    def refuse_idle(self) -> Self:
        """A key that is set and can have no effect is refused."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        for key, sentence in () if self.filled_in else idle(self.NEEDS, vars(self), defaults):
            raise fault(f".{key} {sentence}")
        return self


def fault(sentence: str) -> PydanticCustomError:
    """A validation error whose message is already the sentence to show."""
    return PydanticCustomError("fault", "{sentence}", {"sentence": sentence})


def wording(fault: Mapping[str, Any]) -> str:
    """One fault of pydantic's, in the words of params.yaml: what must be, and what is."""
    match fault["type"]:
        case "fault":
            return fault["msg"]
        case "missing":
            return "is missing: add it"
        case "model_type" | "dict_type":
            must = "must be a mapping of keys to values"
        case "tuple_type" | "list_type":
            must = "must be a list"
        case "literal_error":
            must = f"must be {fault['ctx']['expected']}"
        case _:
            must = "must" + fault["msg"].removeprefix("Input should").removeprefix("String should")
    return f"{must}, not {reprlib.repr(fault['input'])}"


def one_of(settings: Mapping[str, Any], *names: str) -> str | None:
    """The sentence for settings that do not give exactly one of these; None where they do."""
    given = [name for name in names if settings[name] is not None]
    return None if len(given) == 1 else f"takes exactly one of {', '.join(names)}, not {' and '.join(given) or 'none'}"


def unknown(what: str, name: str, valid: Iterable[str]) -> str:
    """The sentence for a name that is not there: the nearest valid one, or all of them."""
    valid = sorted(valid)
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"valid: {', '.join(valid)}"
    return f"unknown {what} {name!r}, {hint}"
