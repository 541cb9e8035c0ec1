"""The sentences that the operator reads when something is refused or fails: each is declared once, with its remedy."""

from __future__ import annotations

import traceback
from typing import Any, Callable, Mapping, Optional


class RolloutError(Exception):
    """Something the operator must read: what was wrong, where, and what to do.

    ``facts`` are values that a module returns beside the sentence (service, gate, last log lines).
    """

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.facts = facts


class Refusal:
    """A sentence for the operator, declared at the top of the module that says it. Calling it makes the error to raise.

    Args:
        section: the table in docs/operations.md (or docs/environments.md) that has its row; `make docs` writes it.
        sentence: what is said, with named placeholders; it tells by itself what to type.
        remedy: what the row says beside it, in Markdown.
    """

    def __init__(self, section: str, sentence: str, remedy: str) -> None:
        self.section, self.sentence, self.remedy = section, sentence, remedy

    def text(self, **values: Any) -> str:
        """The sentence with its values, where it is shown and not raised."""
        return self.sentence.format(**values)

    def __call__(self, facts: Optional[Mapping[str, Any]] = None, **values: Any) -> RolloutError:
        """The error that says it; ``facts`` are what a module returns beside the sentence."""
        return RolloutError(self.text(**values), **(facts or {}))


SYSTEM = Refusal(
    "Anything else",
    "{reason} ({file}).",
    "fix what the operating system refuses: the file stands in the brackets",
)
DEFECT = Refusal(
    "Anything else",
    "Unexpected {type}: {error}. This is a defect of the rollout; run again with -vvv.",
    "run again with `-vvv`, and report what it prints",
)


def outcome(call: Callable[[], dict[str, Any]], verbose: bool = False) -> dict[str, Any]:
    """What a call returns, or its failure as one sentence (``failed``, ``msg``, and the facts behind it)."""
    try:
        return call()
    except RolloutError as error:
        return {"failed": True, "msg": str(error), **error.facts}
    except OSError as error:
        return {"failed": True, "msg": SYSTEM.text(reason=error.strerror or error, file=error.filename or "no file")}
    except Exception as error:  # whatever it is, the operator reads a sentence, and -vvv the rest
        msg = DEFECT.text(type=type(error).__name__, error=error)
        return {"failed": True, "msg": msg, **({"exception": traceback.format_exc()} if verbose else {})}
