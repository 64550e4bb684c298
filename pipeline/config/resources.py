"""resources.yaml: what the stages of each family take of a machine. No stage depends on it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictBool, ValidationError

from pipeline.base.errors import UserError
from pipeline.config.numbers import Positive
from pipeline.config.params import explain
from pipeline.config.section import Section, unknown
from pipeline.config.yaml import read_yaml

FILE = Path("resources.yaml")
ALL = "all"
LABEL = r"^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?=[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"


class Request(Section):
    """What one stage takes: `memory` in GiB, `label` of the machine as `key=value`; null is whatever there is.

    sees_files: Whether the machines that may run it see files that params.yaml names, images above all, at their paths.
    """

    cpus: Annotated[float, Field(strict=True, gt=0, le=10_000)] = 1.0
    gpus: Annotated[int, Field(strict=True, ge=0, le=64)] = 0
    memory: Positive | None = None
    label: Annotated[str, Field(pattern=LABEL)] | None = None
    sees_files: StrictBool = False


class Resources:
    """What resources.yaml gives: `all` for whoever says nothing else, then a family at a time."""

    def __init__(self, value: Any, families: list[str]) -> None:
        """Check it.

        Raises:
            UserError: A family or a key that there is not, or a value that cannot be.
        """
        if not isinstance(value, dict | None):
            raise UserError(f"{FILE} must be a mapping of families to what they take, such as `teacher: {{gpus: 1}}`")
        self._given: dict[str, dict[str, Any]] = {}
        for name, section in (value or {}).items():
            if name not in (ALL, *families):
                raise UserError(f"{FILE}: {unknown('family', str(name), [ALL, *families])}")
            self._given[name] = section or {}
            _check(name, self._given[name])

    def of(self, stage: str) -> Request:
        """What a stage takes, by its name as DVC has it."""
        return Request(**{**self._given.get(ALL, {}), **self._given.get(stage.partition("@")[0], {})})


def read(families: list[str]) -> Resources:
    """What the file says; where there is none, each stage takes one CPU."""
    return Resources(read_yaml(FILE) if FILE.exists() else None, families)


def _check(name: str, section: Any) -> None:
    try:
        Request.model_validate(section)
    except ValidationError as error:
        named = [{**each, "loc": (name, *each["loc"])} for each in error.errors()]
        raise UserError(explain(named, str(FILE))) from None
