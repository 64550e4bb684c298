"""A colour, as params.yaml and the files that ship name one."""

from typing import Annotated

from pydantic import Field

Level = Annotated[int, Field(strict=True, ge=0, le=255)]
Background = tuple[Level, Level, Level]  # red, green and blue behind what is transparent
