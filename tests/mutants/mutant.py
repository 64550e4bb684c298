"""A small fault, and who must notice it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change of one file of the product.

    Attributes:
        path: The file, relative to the repository.
        text: What stands there; exactly once.
        replacement: What the fault puts in its place.
        tests: Test files, or tests in them, of which at least one must fail; separated by spaces.
    """

    path: str
    text: str
    replacement: str
    tests: str

    def planted(self, whole: str) -> str:
        """The file's text with the fault in it.

        Raises:
            ValueError: The text does not stand there exactly once.
        """
        if (count := whole.count(self.text)) != 1:
            raise ValueError(f"{self.path} has {self.text!r} {count} times: a mutant's text must stand there once")
        return whole.replace(self.text, self.replacement)
