"""The remote that all machines share, by name and URL."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remote:
    """Where all machines put and find what stages leave.

    url: A folder as an absolute path, which each machine must see; else as .dvc/config has it.
    """

    name: str
    url: str
