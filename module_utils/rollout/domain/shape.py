"""The shape of what people write by hand: its keys and their values. All that is wrong is found at once. Pure."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional

from ansible.module_utils.rollout.errors import Refusal, RolloutError

_SECTION = "Keys and values"
UNEXPECTED = Refusal(_SECTION, "{where} is {value}: expected {meaning}.", "correct the value, or its type")
UNKNOWN = Refusal(_SECTION, "{where} has '{key}'; known are {known}.", "correct the misspelt key")
MISSING = Refusal(_SECTION, "{where} is missing: expected {meaning}.", "add the key")
ITEM = Refusal(_SECTION, "{where} has '{value}': expected {meaning}.", "correct this item of the list")


@dataclass(frozen=True)
class Key:
    """The values that one key of a mapping may have.

    ``meaning`` ends the sentence "expected …". The value is of one of ``types``, where a bool is not a number; ``fits`` tests it
    further, ``inner`` finds the faults inside it. A ``needed`` key must be there. A ``secret`` value is never quoted.
    """

    meaning: str
    types: tuple[type, ...]
    fits: Callable[[Any], bool] = lambda value: True
    inner: Optional[Callable[[Any, str], list[str]]] = None
    needed: bool = False
    secret: bool = False

    def faults(self, value: Any, where: str) -> list[str]:
        """A sentence for each fault of the value that stands at ``where``."""
        typed = isinstance(value, self.types) and (not isinstance(value, bool) or bool in self.types)
        if typed and self.fits(value):
            return self.inner(value, where) if self.inner else []
        shown = _kind(value) if self.secret else repr(value)
        return [UNEXPECTED.text(where=where, value=shown, meaning=self.meaning)]


def _kind(value: Any) -> str:
    """The kind of a value, without its text. Ansible's own types are subclasses of these."""
    kinds: list[tuple[Any, str]] = [
        (bool, "true or false"),
        (str, "a text"),
        ((int, float), "a number"),
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
        (object, "of another type"),
    ]
    return "empty" if value is None else next(name for types, name in kinds if isinstance(value, types))


def choice(words: tuple[str, ...], needed: bool = False, of: str = "one of") -> Key:
    """A key whose value is one of these words."""
    return Key(f"{of} {', '.join(words)}", (str,), words.__contains__, needed=needed)


def faults(value: Mapping[str, Any], where: str, keys: Mapping[str, Key]) -> list[str]:
    """A sentence for each fault of the mapping at ``where``: keys that are unknown, keys that are missing, their values."""
    found = [UNKNOWN.text(where=where, key=key, known=", ".join(keys)) for key in value if key not in keys]
    for name, key in keys.items():
        if name in value:
            found += key.faults(value[name], f"{where}.{name}")
        elif key.needed:
            found.append(MISSING.text(where=f"{where}.{name}", meaning=key.meaning))
    return found


class Faults:
    """Sentences that are collected, to be refused together, one a line."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._facts: dict[str, Any] = {}

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Take what the block raises, and go on behind it."""
        try:
            yield
        except RolloutError as error:
            self.add(*str(error).splitlines())
            self._facts = {**error.facts, **self._facts}

    def add(self, *sentences: str) -> None:
        """Note these, each once."""
        self.sentences += [one for one in dict.fromkeys(sentences) if one not in self.sentences]

    def refuse(self) -> None:
        """Raise what was collected; nothing if there is nothing.

        Raises:
            RolloutError: every sentence, one a line; with the facts behind them, of each name the first.
        """
        if self.sentences:
            raise RolloutError("\n".join(self.sentences), **self._facts)


def require(sentences: list[str]) -> None:
    """Refuse these together.

    Raises:
        RolloutError: every sentence, one a line.
    """
    found = Faults()
    found.add(*sentences)
    found.refuse()
