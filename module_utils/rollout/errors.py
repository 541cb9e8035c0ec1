"""The one error family of the rollout: a sentence for the operator, with the facts behind it."""

from __future__ import annotations

from typing import Any


class RolloutError(Exception):
    """Something the operator must read: what was wrong, where, and what to do.

    ``facts`` are values that a module returns beside the sentence (service, gate, last log lines).
    """

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.facts = facts
