"""This package as one file for `python3`: so the agent of a run gets it, and the guard."""

from __future__ import annotations

import importlib.resources
import importlib.util
import io
import marshal
import zipfile
from importlib.machinery import SourceFileLoader
from typing import Any, Iterator

PACKAGE = "ansible.module_utils.rollout"
# The rooms that a host needs, and with them what takes a run's steps there.
HOST = ("domain", "io", "verbs")
AGENT = (*HOST, "agent")


def pack(rooms: tuple[str, ...], start: str = "", compiled: bool = False) -> bytes:
    """These rooms of the package as a zip file, wherever it was loaded from: a folder, or such a zip file.

    The same source is the same file, byte for byte, whichever process packs it.

    Args:
        start: the text of what `python3 FILE` runs.
        compiled: whether a folder's code goes with it. A Python of this version then starts 0.2 s sooner, another one does not
            see it: each such file names its version, and says that it is not to be compared with the source (PEP 552).
    """
    place = PACKAGE.replace(".", "/")
    files = {"ansible/__init__.py": b"", "ansible/module_utils/__init__.py": b""}
    for entry in importlib.resources.files(PACKAGE).iterdir():
        if entry.is_file() or entry.name in rooms:
            for path, found in _sources(entry, f"{place}/{entry.name}"):
                files[path] = found.read_bytes()
                if compiled:
                    code = SourceFileLoader(path, str(found)).get_code(path)
                    head = importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(files[path])
                    files[f"{path}c"] = head + marshal.dumps(code)
    if start:
        files["__main__.py"] = start.encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for path in sorted(files):
            # A fixed time. Little compression: a second look at 300 kB would cost more than the way over the network.
            packed.writestr(zipfile.ZipInfo(path, (2000, 1, 1, 0, 0, 0)), files[path], zipfile.ZIP_DEFLATED, compresslevel=1)
    return data.getvalue()


def _sources(entry: Any, path: str) -> Iterator[tuple[str, Any]]:
    if entry.is_dir():
        for below in entry.iterdir():
            yield from _sources(below, f"{path}/{below.name}")
    elif path.endswith(".py"):
        yield path, entry
