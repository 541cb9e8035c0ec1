"""What kinfra says when it refuses."""

from __future__ import annotations


class KinfraError(Exception):
    """One sentence for the person at the terminal: what was wrong, where, what to do. `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
