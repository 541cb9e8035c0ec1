"""The secrets that this process knows, hidden in the text that it makes of what others say.

A process works on one application of one host: an agent, a guard, a module. It learns them at each of its steps, before anything
is said, and forgets none: those of an earlier release are secrets still.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Optional

from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain.manifest import ENV
from ansible.module_utils.rollout.domain.mask import Mask
from ansible.module_utils.rollout.errors import RolloutError

if TYPE_CHECKING:
    from ansible.module_utils.rollout.io.store import Store

# Characters at the end of a flood that are looked at. What is shown of them is far less.
MOST = 2**16
_mask = Mask()


def learn(*values: Any) -> None:
    """Hide these from now on: texts and numbers, in structures of any depth."""
    global _mask
    _mask |= values


def learn_releases(store: Store) -> None:
    """Hide the secrets of every release on this host from now on."""
    # A file that cannot be read cannot be printed either.
    with contextlib.suppress(OSError):
        learn([_of_release(store, name) for name in store.taken()])


def masked(text: str) -> str:
    """``text`` without the secrets that this process knows."""
    return _mask.text(text)


def ending(text: str) -> str:
    """The end of a text, masked. What is then cut off it leaves no part of a secret."""
    if len(text) > MOST:
        # A part of a secret at the cut would not be found: its line goes.
        text = text[-MOST:].partition("\n")[2] or f"(a line of more than {MOST // 2**10} KiB, which is not shown)"
    return masked(text)


def _of_release(store: Store, name: str) -> list[str]:
    names: Optional[list[str]] = None
    with contextlib.suppress(RolloutError):
        names = store.manifest(name).get("secrets", [])
    # Those that are there, whatever release.json says: it may be damaged.
    directory = store.directory(name)
    files = [path.relative_to(directory).as_posix() for depth in (ENV, f"*/{ENV}") for path in directory.glob(depth)]
    return [value for file in files for value in dotenv.hidden(store.read(name, file) or "", names)]
