"""This package as one file for `python3`, the way the guard and the agent of a run get it."""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from types import CodeType
from typing import Mapping, Optional

PACKAGE = "ansible.module_utils.rollout"
# Ansible itself is not on the host.
EMPTY = ("ansible", "ansible.module_utils", PACKAGE)
# What no step on a host needs; the modules' frame needs Ansible besides.
CONTROLLERS = {
    *("__init__", "door", "metrics", "module", "notify", "progress", "reference", "registry", "run_document", "run_page"),
    *("status", "target", "timeline", "torch_screen"),
}


def pack(modules: Mapping[str, tuple[str, Optional[CodeType]]], start: str = "", small: bool = True) -> bytes:
    """A zip file of modules: name -> source and code. Without code, whoever imports it compiles the source.

    Code serves a Python of this very version, and another one does not see it: a `.pyc` says whose it is, and that nobody is to
    compare it with the source (PEP 552, unchecked). ``start`` is what `python3 FILE` runs. To be ``small``, for a way over a
    network, takes twice as long.
    """
    data = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
    with zipfile.ZipFile(data, "w") as file:

        def put(path: str, content: str | bytes) -> None:
            # A fixed time: the same text is the same file.
            file.writestr(zipfile.ZipInfo(path, (2000, 1, 1, 0, 0, 0)), content, method, compresslevel=1)

        for name in EMPTY:
            put(f"{name.replace('.', '/')}/__init__.py", "")
        for name, (source, code) in modules.items():
            path = name.replace(".", "/")
            put(f"{path}.py", source)
            if code:
                known = importlib.util.source_hash(source.encode())
                put(f"{path}.pyc", importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + known + marshal.dumps(code))
        if start:
            put("__main__.py", start)
    return data.getvalue()
