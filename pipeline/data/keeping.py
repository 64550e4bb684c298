"""What a run of `prepare` has at hand besides its data: none of it changes a result."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.data.ahead import cores


class Showing(Protocol):
    """Called with a verb and how many images there are, yields what is called with how many are done."""

    def __call__(self, verb: str, whole: int, /) -> AbstractContextManager[Callable[[int], None]]: ...


def silent(verb: str, whole: int, /) -> AbstractContextManager[Callable[[int], None]]:
    """Show nothing."""
    return nullcontext(lambda done: None)


@dataclass(frozen=True)
class Keeping:
    """Where work is kept from one run to the next, who hears of it, and how many threads do it.

    Attributes:
        state: Gives the folder of all training state, below which work is kept; None keeps nothing.
        code: Hash of the code that encodes: other code, other encodings.
        log: Given a sentence.
        showing: Shows how many images are done.
        threads: That read, decode and encode; None: a core each.
    """

    state: Callable[[], Path] | None = None
    code: str = ""
    log: Callable[[str], object] = lambda sentence: None
    showing: Showing = silent
    threads: int | None = None

    @property
    def workers(self) -> int:
        """Threads, as a number."""
        return self.threads or cores()
