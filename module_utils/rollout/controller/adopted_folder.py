"""Writes the inventory of a project that is taken over: its folder appears whole or not at all, and nothing beside it changes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Mapping

from ansible.module_utils.rollout.controller.adoption import SECTION
from ansible.module_utils.rollout.domain.source import inside
from ansible.module_utils.rollout.errors import Refusal

EXISTS = Refusal(
    SECTION,
    "{path} is there already, and nothing was written: somebody may have worked on it. To replace it, type -e overwrite=true: "
    "the folder that is there is kept beside it, under another name.",
    "look at what is there, and move it away; or type `-e overwrite=true`",
)
UNWRITTEN = Refusal(
    SECTION,
    "{path} was not written: {why}.",
    "make room, or choose another folder with `-e into=…`; nothing is left of it",
)


def write(into: Path, name: str, files: Mapping[str, tuple[bytes, int]], overwrite: bool) -> str:
    """Write a folder.

    Args:
        into: the folder in which it is made.
        name: its name, that of a Compose project.
        files: path below it -> content and mode.

    Returns:
        Where the folder is now that was there before; empty if none was.

    Raises:
        RolloutError: it is there and ``overwrite`` is false, or it could not be written.
    """
    target = into / name
    there = os.path.lexists(target)
    if there and not overwrite:
        raise EXISTS(path=target)
    aside = None
    try:
        into.mkdir(parents=True, exist_ok=True)
        # For its owner alone: it holds secrets, and files of a host with the modes that services need.
        aside = Path(tempfile.mkdtemp(dir=into, prefix=f".{name}.new."))
        for path, (content, mode) in files.items():
            _put(aside, path, content, mode)
        before = into / f".{name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        if there:
            os.rename(target, before)
        try:
            os.rename(aside, target)
        except OSError:
            if there:
                os.rename(before, target)
            raise
    except (OSError, ValueError) as error:
        raise UNWRITTEN(path=target, why=getattr(error, "strerror", None) or str(error)) from None
    finally:
        if aside:
            shutil.rmtree(aside, ignore_errors=True)
    return str(before) if there else ""


def _put(folder: Path, path: str, content: bytes, mode: int) -> None:
    if not inside(path) or inside(path) != path:
        raise ValueError(f"{path!r} is not a path below it")
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    # No file is there twice, and none is a link.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        os.fchmod(handle.fileno(), mode)
