"""A Python without any packages: the virtual environment of the tests may hold a real torch."""

from __future__ import annotations

import functools
import tempfile
import venv
from pathlib import Path


@functools.lru_cache(maxsize=1)
def _directory() -> tempfile.TemporaryDirectory:
    directory = tempfile.TemporaryDirectory(prefix="bare-python-")
    venv.create(directory.name, with_pip=False, symlinks=True)
    return directory


def bare_python() -> str:
    """Path of its interpreter; it is made once and removed at the end."""
    return str(Path(_directory().name) / "bin" / "python3")
