"""The files of slots: reading, writing and removing them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ktrdr.cli.kinfra.errors import Refusal
from ktrdr.cli.kinfra.slots import ENV, LINK, NUMBERS, Slot

TEMPLATE = Path(__file__).parent / "templates" / "docker-compose.base.yml"
NO_TEMPLATE = Refusal(
    "The template {path} cannot be read ({reason}): git restore brings it back.",
    "type `git restore` with the path that it names",
)
UNREADABLE = Refusal(
    "{path} cannot be read ({reason}): fix or remove it, then run again.",
    "correct owner and mode of that file of the slot, or remove it",
)
UNWRITABLE = Refusal(
    "Slot {number} cannot be written to {directory} ({reason}); {left}: make room or name another folder in KTRDR_SANDBOX_HOME, "
    "then run again.",
    "make room. A new slot left nothing behind, an old one is whole",
)
STAYS = Refusal(
    "{path} cannot be removed ({reason}): remove it by hand.",
    "remove it by hand: the containers are gone, a file of the slot is not",
)


def home() -> Path:
    """The folder of all slots: KTRDR_SANDBOX_HOME, otherwise ~/.ktrdr/sandboxes."""
    return Path(os.path.expanduser(os.environ.get("KTRDR_SANDBOX_HOME") or "~/.ktrdr/sandboxes")).absolute()


def template() -> bytes:
    """The compose file of every slot; raises KinfraError where it cannot be read."""
    try:
        return TEMPLATE.read_bytes()
    except OSError as error:
        raise NO_TEMPLATE(path=TEMPLATE, reason=error.strerror) from error


def existing(folder: Path) -> list[Slot]:
    """The slots that have a directory."""
    return [slot for n in NUMBERS if (slot := Slot(n, folder)).directory.is_dir()]


def read(slot: Slot, name: str) -> bytes | None:
    """The content of one of its files, None where it is absent; raises KinfraError where it cannot be read."""
    path = slot.directory / name
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UNREADABLE(path=path, reason=error.strerror) from error


def linked(slot: Slot) -> bool:
    """Whether .env is the link that leads Compose to .env.sandbox, or absent."""
    path = slot.directory / LINK
    return not os.path.lexists(path) or (path.is_symlink() and os.readlink(path) == ENV)


def write(slot: Slot, files: Mapping[str, bytes]) -> None:
    """Put files and link into the slot, each whole or not at all; a slot that was new is gone again where this fails.

    Raises KinfraError where it cannot be written.
    """
    new = not slot.directory.exists()
    try:
        slot.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(slot.directory / name, content)
        _replace(slot.directory / LINK, None)
    except BaseException as error:
        if new and slot.directory.is_dir():
            shutil.rmtree(slot.directory, ignore_errors=True)
        if isinstance(error, OSError):
            left = "nothing of it was left" if new else "what it had was left"
            raise UNWRITABLE(number=slot.number, directory=slot.directory, reason=error.strerror, left=left) from error
        raise


def _replace(path: Path, content: bytes | None) -> None:
    """Make it a file with this content, or without content the link, by one rename."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.unlink(missing_ok=True)
        if content is None:
            temporary.symlink_to(ENV)
        else:
            temporary.touch(0o600)
            temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove(slot: Slot) -> None:
    """Remove the slot's directory; raises KinfraError where it cannot be removed."""
    try:
        shutil.rmtree(slot.directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise STAYS(path=slot.directory, reason=error.strerror) from error
