"""The rooms of the package: which may import which, how pure each is, and how long a file may be."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Iterator, Mapping

import pytest

NAME = "ansible.module_utils.rollout"
PACKAGE = Path(__file__).resolve().parents[3] / "module_utils/rollout"
# What each room may import besides itself and errors.py.
ROOMS = {
    "domain": (),
    "io": ("domain",),
    "verbs": ("domain", "io"),
    "agent": ("domain", "io", "verbs"),
    "controller": ("domain", "io"),
}
CLOCK_AND_CHANCE = {"random", "secrets", "time"}
FILES = {"fcntl", "os", "pathlib", "shutil", "tempfile"}
PROCESSES = {"asyncio", "getpass", "multiprocessing", "signal", "subprocess", "threading"}
NETWORK = {"http", "select", "socket", "ssl", "urllib.request"}
IMPURE = CLOCK_AND_CHANCE | FILES | PROCESSES | NETWORK
# What runs inside of an image, whose package it asks.
IN_IMAGES = {f"{NAME}.io.torch_probe": ("torch",)}
LINES = 400


def imported(tree: ast.AST, own: str) -> Iterator[tuple[str, int]]:
    """Every module that a module of that name imports, wherever in its text, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = own.split(".")[: -node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _room(module: str) -> str:
    return module[len(NAME) + 1 :].partition(".")[0]


def _within(known: Mapping[str, object], name: str) -> str:
    """The module of the package that an imported name is, or is in; empty if it is not of the package."""
    if not f"{name}.".startswith(f"{NAME}."):
        return ""
    return name if name in known or name.count(".") <= NAME.count(".") + 1 else _within(known, name.rpartition(".")[0]) or name


def faults(files: Mapping[str, str]) -> list[str]:
    """What is wrong with a package of these files (path below the package -> text), one sentence each."""
    trees = {
        ".".join((NAME, *Path(path).with_suffix("").parts)): ast.parse(text)
        for path, text in files.items()
        if not path.endswith("__init__.py")
    }
    found = [f"{path} has {lines} lines" for path, text in files.items() if (lines := len(text.splitlines())) > LINES]
    # The zip file of the agent and the guard has empty ones.
    found += [f"{path} is not empty" for path, text in files.items() if path.endswith("__init__.py") and text]
    graph: dict[str, set[str]] = {}
    for own, tree in trees.items():
        room = _room(own)
        if room not in ROOMS and own != f"{NAME}.errors":
            found.append(f"{own} is in no room")
            continue
        graph[own] = set()
        for name, line in imported(tree, own):
            module = _within(trees, name)
            where = f"{own}:{line} imports {name}"
            if module:
                graph[own].add(module)
                if _room(module) not in ("errors", room, *ROOMS.get(room, ())):
                    found.append(f"{where}: {room} may not")
            elif room in ("domain", "errors") and any(f"{name}.".startswith(f"{one}.") for one in IMPURE):
                found.append(f"{where}: {room} is pure")
            elif room not in ("agent", "controller") and name.split(".")[0] not in {
                *sys.stdlib_module_names,
                *IN_IMAGES.get(own, ()),
            }:
                found.append(f"{where}: it is not of the standard library")
        if room == "domain":
            calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
            found += [
                f"{own}:{c.lineno} calls {c.func.id}: {room} is pure" for c in calls if c.func.id in ("open", "print", "input")
            ]
    return found + [f"circle: {' -> '.join(path)}" for path in circles(graph)]


def circles(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Each way that comes back to its beginning, once."""
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if name in path:
            yield (*path[path.index(name) :], name)
        elif name in graph and name not in done:
            for other in sorted(graph[name]):
                yield from walk(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, ())


def test_the_rooms_of_the_package():
    files = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    assert {path.partition("/")[0] for path in files} == {*ROOMS, "errors.py", "__init__.py"}
    assert "\n".join(faults(files)) == ""


GOOD = {
    "__init__.py": "",
    "errors.py": "class RolloutError(Exception): ...",
    "domain/ledger.py": f"import json\nfrom urllib.parse import urlsplit\nfrom {NAME}.errors import RolloutError\n",
    "io/store.py": f"import os\nfrom {NAME}.domain import ledger\n",
    "io/engine.py": f"from {NAME}.io.store import Store\n",
    "verbs/switch.py": f"from {NAME}.io import engine, store\nfrom {NAME}.domain.ledger import fold\n",
    "agent/door.py": "import os",
    "agent/steps.py": f"from ansible.module_utils.basic import AnsibleModule\nfrom {NAME}.verbs import switch\n",
    "controller/report.py": f"import yaml\nfrom {NAME}.io import store\nfrom ..domain import ledger\n",
}


def test_good_modules_have_no_fault():
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("domain/plan.py", f"from {NAME}.io import store", "domain may not"),
        ("domain/plan.py", f"import {NAME}.io.store", "domain may not"),
        ("domain/plan.py", f"from {NAME} import io", "domain may not"),
        ("domain/plan.py", "from ..io import store", "domain may not"),
        ("domain/plan.py", "from ..io.store import Store", "domain may not"),
        ("domain/plan.py", "import time", "domain is pure"),
        ("domain/plan.py", "from os import path", "domain is pure"),
        ("domain/plan.py", "import http.client", "domain is pure"),
        ("domain/plan.py", "from urllib import request", "domain is pure"),
        ("domain/plan.py", "def late():\n    import subprocess", "domain is pure"),
        ("domain/plan.py", "def read(file):\n    return open(file).read()", "calls open: domain is pure"),
        ("errors.py", "import socket", "errors is pure"),
        ("errors.py", f"from {NAME}.agent import door", "errors may not"),
        ("io/gpu.py", f"from {NAME}.verbs import switch", "io may not"),
        ("io/gpu.py", "import yaml", "it is not of the standard library"),
        ("verbs/stage.py", f"def late():\n    from {NAME}.controller import report", "verbs may not"),
        ("verbs/stage.py", f"from {NAME}.agent.steps import STEPS", "verbs may not"),
        ("verbs/stage.py", "from ansible.module_utils.basic import AnsibleModule", "it is not of the standard library"),
        ("agent/door.py", f"from {NAME}.controller import report", "agent may not"),
        ("controller/target.py", f"from {NAME}.verbs import switch", "controller may not"),
        ("controller/target.py", f"from {NAME}.agent import steps", "controller may not"),
        ("io/store.py", f"from {NAME}.io import engine", f"circle: {NAME}.io.engine -> {NAME}.io.store -> {NAME}.io.engine"),
        (
            "io/store.py",
            f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {NAME}.io.engine import Engine",
            f"circle: {NAME}.io.engine -> {NAME}.io.store -> {NAME}.io.engine",
        ),
        ("domain/long.py", "X = 1\n" * (LINES + 1), f"domain/long.py has {LINES + 1} lines"),
        ("tools/help.py", "", "is in no room"),
        ("help.py", "", "is in no room"),
        ("io/__init__.py", "from .store import Store\n", "io/__init__.py is not empty"),
    ],
)
def test_a_fault_is_found(path, text, fault):
    (found,) = faults({**GOOD, path: text})
    assert found.endswith(fault)


def test_what_waits_on_a_host_waits_by_the_one_clock():
    """The one that tests/unit/conftest.py replaces: a sleep of its own would make its tests wait for real."""
    sleeps = {
        path.relative_to(PACKAGE).as_posix()
        for room in ("io", "verbs", "agent")
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "sleep" and ast.unparse(node.value) != "clock")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "sleep" for alias in node.names))
    }
    # The probe is alone in its container.
    assert sleeps == {"io/clock.py", "io/torch_probe.py"}
