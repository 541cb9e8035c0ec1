"""The sentences with which kinfra refuses: each is declared once, with its remedy."""

from __future__ import annotations


class KinfraError(Exception):
    """One sentence for the person at the terminal: what was wrong, where, what to do. `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Refusal:
    """A sentence with named placeholders, and what its row in docs/environments.md says beside it (`make docs` writes it).

    Calling it makes the error to raise. `status` is the exit status: 2 for wrong input.
    """

    section = "Sandboxes"

    def __init__(self, sentence: str, remedy: str, status: int = 1) -> None:
        self.sentence, self.remedy, self.status = sentence, remedy, status

    def text(self, **values: object) -> str:
        """The sentence with its values, where it is shown and not raised."""
        return self.sentence.format(**values)

    def __call__(self, **values: object) -> KinfraError:
        """The error that says it."""
        return KinfraError(self.text(**values), self.status)
