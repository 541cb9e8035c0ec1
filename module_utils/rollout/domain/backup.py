"""The key ``backup`` of `x-rollout`: how a kept service is backed up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible.module_utils.rollout.domain.shape import Key, choice

# When a backup is taken: before the jobs of a release, before every release, or only when somebody asks for it.
JOB, ALWAYS, NEVER = "job", "always", "never"
PRESETS = ("postgres", "mariadb", "volume")


@dataclass(frozen=True)
class Backup:
    """How the data of a kept service is saved and brought back.

    ``dump``, ``restore`` and ``verify`` are commands in its container: the first one writes a backup to its standard output, the
    others read one from their standard input. What is empty, ``preset`` says. ``keep`` is how many backups stay, ``when`` when
    one is taken; each command has ``deadline`` seconds.
    """

    preset: str = ""
    dump: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    keep: int = 5
    when: str = JOB
    deadline: float = 1800.0

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Backup:
        """Read what `BACKUP` has accepted."""
        values: dict[str, Any] = {k: tuple(map(str, v)) if isinstance(v, list) else v for k, v in said.items()}
        return cls(**values)


def _words(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(word, (str, int, float)) and not isinstance(word, bool) for word in value)


_COMMAND = Key("a list of words, for example [pg_dump, -Fc, app]", (list,), _words)
BACKUP = {
    "preset": choice(PRESETS),
    "dump": _COMMAND,
    "restore": _COMMAND,
    "verify": _COMMAND,
    "keep": Key("a whole number, 1 or more", (int,), lambda value: value >= 1),
    "when": choice((JOB, ALWAYS, NEVER)),
    "deadline": Key("a number of seconds, more than 0", (int, float), lambda value: value > 0),
}
