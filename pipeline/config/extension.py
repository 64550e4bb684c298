"""What the project is extended by. One rule for all: a thing is one file, found by its name in its folder.

The function of that file declares what it takes. Positional parameters are what it is handed, keyword-only ones are its
settings in params.yaml, with their types, ranges and defaults. Files are read, not imported (`config.signature`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from pipeline.base.errors import UserError
from pipeline.config import signature
from pipeline.config.effect import idle
from pipeline.config.section import Section, fault, unknown

PIPELINE = Path(__file__).parents[1]


@dataclass(frozen=True)
class ExtensionPoint:
    """A folder whose files params.yaml may name.

    what: one of them, in messages. folder: below `pipeline`. function: that each file defines; None: one of the
    file's own name. supplied: keyword-only parameters that are handed as well, and are no settings.
    """

    what: str
    folder: str
    function: str | None = None
    supplied: frozenset[str] = frozenset()

    def names(self) -> list[str]:
        """All that may be named."""
        return signature.available(PIPELINE / self.folder, self.function)

    def path(self, name: str) -> Path:
        """The file of that name.

        Raises:
            UserError: There is none.
        """
        if name not in (names := self.names()):
            raise UserError(unknown(self.what, name, names))
        return PIPELINE / self.folder / f"{name}.py"

    def code(self, name: str) -> str:
        """The file of that name, as fingerprints are given it."""
        return f"pipeline/{self.folder}/{name}.py"

    def settings(self, name: str) -> type[BaseModel]:
        """What the file declares."""
        return signature.settings(self.path(name), self.function or name, self.supplied)

    def complete(self, name: str, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Settings checked, with all defaults; `where` is their key in params.yaml. A fault is a `UserError`.

        Further ones, where the file takes any, are checked by its function `arguments`, if it has one.
        """
        model = self.settings(name)
        found = signature.validated(model, values, where)
        if model.model_config.get("extra") == "allow" and (check := self.helper(name, "arguments")):
            further = {key: value for key, value in found.items() if key not in model.model_fields}
            check({key: found[key] for key in model.model_fields}, further, where)
        return found

    def idle(self, name: str, values: Mapping[str, Any]) -> str | None:
        """The first of its settings that is set and has no effect beside the others, and why; None where all have."""
        needs = self.constant(name, "NEEDS") or {}
        defaults = {key: field.default for key, field in self.settings(name).model_fields.items()}
        return next((f".{key} {sentence}" for key, sentence in idle(needs, values, defaults)), None)

    def needs(self, name: str) -> tuple[str, ...]:
        """Names of what the function is handed."""
        return signature.needs(self.path(name), self.function or name)

    def handed(self, name: str, offered: Mapping[str, Any]) -> list[Any]:
        """Of what is offered, what the function takes, in its order."""
        needs = self.needs(name)
        for need in needs:
            if need not in offered:
                raise UserError(f"{self.code(name)}: {unknown('positional parameter', need, offered)}")
        return [offered[need] for need in needs]

    def constant(self, name: str, constant: str) -> Any:
        """The literal that the file assigns to `constant`; None where it does not."""
        return signature.constant(self.path(name), constant)

    def helper(self, name: str, function: str) -> Callable[..., Any] | None:
        """A further function of the file, which plan may call (`signature.alone`); None where it has none."""
        return signature.alone(self.path(name), function)


FAMILIES = ExtensionPoint("architecture family", "models", "build", frozenset({"channels", "size", "classes"}))
OBJECTIVES = ExtensionPoint("objective", "objectives")
OPTIMIZERS = ExtensionPoint("optimizer", "training/optimizers")
SOURCES = ExtensionPoint("source", "data/sources", "load")
STEPS = ExtensionPoint("kind", "compression/steps", "run")


class Extended(Section):
    """A section one of whose keys names a file: what the file declares are keys of the section, too.

    point, chosen_by: where the file lies, and the key that names it.
    inherits: whether keys that only other files declare may stand there, too. They are checked and kept, and mean
    nothing: a section takes over those of another that names another file.
    imports: whether an import path (`module.Name`) may stand for a file. What it takes, only whoever imports it knows.
    """

    model_config = ConfigDict(extra="allow")
    point: ClassVar[ExtensionPoint]
    chosen_by: ClassVar[str]
    inherits: ClassVar[bool] = True
    imports: ClassVar[bool] = False

    @property
    def settings(self) -> dict[str, Any]:
        """What the named file declares; all further keys of what is imported."""
        if "." in getattr(self, self.chosen_by):
            return dict(self.model_extra or {})
        declared = self.point.settings(getattr(self, self.chosen_by)).model_fields
        return {key: value for key, value in (self.model_extra or {}).items() if key in declared}

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown(cls, values: Any) -> Any:
        """Check and fill in what the named file declares; refuse what nothing declares."""
        if not isinstance(values, Mapping):
            return values
        own = {field.alias or key for key, field in cls.model_fields.items()}
        further = {key: value for key, value in values.items() if key not in own}
        name = str(values.get(cls.chosen_by, cls.model_fields[cls.chosen_by].default))
        if cls.imports and "." in name:
            return _imported(name, cls.chosen_by, values, further)
        if name not in (names := cls.point.names()):
            raise fault(f".{cls.chosen_by}: {unknown(cls.point.what, name, names)}")
        model = _model(cls.point, name, frozenset(map(str, further)) if cls.inherits else frozenset())
        for key in further:
            if key not in model.model_fields:
                raise fault(unknown("key", str(key), [*own, *model.model_fields]))
        try:
            return {**values, **signature.validated(model, further, "")}
        except UserError as error:
            raise fault(str(error)) from None


def _imported(name: str, key: str, values: Mapping[str, Any], further: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a section that names an import path, whose further keys are plain arguments."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise fault(f".{key}: {name!r} is no import path such as torch.optim.RAdam")
    for each, value in further.items():
        if not _is_plain(value):
            raise fault(f".{each}: must be a number, a text, true, false, null, or a list of these, not {value!r}")
    return values


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


@cache
def _model(point: ExtensionPoint, name: str, given: frozenset[str]) -> type[BaseModel]:
    """What the file `name` declares, and those of the given keys that only other files do."""
    fields: dict[str, Any] = {
        key: (field.annotation, field)
        for other in (*point.names(), name)  # its own declaration last, where several have the key
        for key, field in point.settings(other).model_fields.items()
        if other == name or key in given
    }
    return create_model(name, **fields)
