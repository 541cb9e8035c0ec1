"""The variants of one release on a host, told apart: which of how many, when it was staged, and how it differs. Pure."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain.compose import RELEASE_LABEL, repository
from ansible.module_utils.rollout.domain.manifest import ENV
from ansible.module_utils.rollout.domain.release import differing
from ansible.module_utils.rollout.errors import RolloutError

# A run's id begins with the time at which it did.
_RUN = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)\d\dZ-")
_PINS = ".pins.json"


@dataclass(frozen=True)
class Variant:
    """The directory ``name`` of a release, the ``run`` that staged it, its ``files`` (name -> text) and ``images`` (reference ->
    digest)."""

    name: str
    release: str
    run: str
    files: Mapping[str, str]
    images: Mapping[str, str]


def said(found: Sequence[Variant]) -> dict[str, str]:
    """Directory -> ``3 of 5, 2026-11-30 20:21, 2 services more``; only where a release has more than one.

    Args:
        found: the variants of any releases, those of one in the order of their numbers.
    """
    out = {}
    for release in dict.fromkeys(one.release for one in found):
        mine = [one for one in found if one.release == release]
        for number, one in enumerate(mine, 1) if len(mine) > 1 else ():
            when = _RUN.match(one.run)
            at = [f"{when[1]}-{when[2]}-{when[3]} {when[4]}:{when[5]}"] if when else []
            words = differs(mine[number - 2], one) if number > 1 else []
            out[one.name] = ", ".join([f"{number} of {len(mine)}", *at, *words])
    return out


def differs(old: Variant, new: Variant) -> list[str]:
    """In a few words how a variant differs from the one before."""
    before, after = _services(old), _services(new)
    words = [_count(names, word) for names, word in ((after - before, "more"), (before - after, "fewer")) if names]
    variables = differing(_values(old), _values(new))
    words += [f"another {' and '.join(variables[:2])}{' and more' if len(variables) > 2 else ''}"] if variables else []
    built = [repository(r).rpartition("/")[2] for r in new.images if old.images.get(r, new.images[r]) != new.images[r]]
    words += [f"{' and '.join(built)} built anew"] if built else []
    texts = [{f: text for f, text in one.files.items() if not f.endswith((ENV, _PINS))} for one in (old, new)]
    return words or (["another compose file"] if texts[0] != texts[1] else [])


def label(release: str, name: Any, texts: Any) -> str:
    """A release as screens name it: with what tells its variant from the others, if there are any.

    Args:
        name: its directory.
        texts: as `said` returns them.
    """
    text = (texts or {}).get(name)
    return f"{release} ({text})" if text else release


def _count(names: set[str], word: str) -> str:
    return f"{len(names)} service{'' if len(names) == 1 else 's'} {word}"


def _services(one: Variant) -> set[str]:
    """Those of the release; a former version pinned no others."""
    pins = [json.loads(text).get("services") or {} for file, text in one.files.items() if file.endswith(_PINS)]
    return {name for specs in pins for name, spec in specs.items() if RELEASE_LABEL in (spec.get("labels") or {})}


def _values(one: Variant) -> dict[str, str]:
    found: dict[str, str] = {}
    for file, text in one.files.items():
        if file.rpartition("/")[2] == ENV:
            with contextlib.suppress(RolloutError):
                found.update(dotenv.parse(text))
    return found
