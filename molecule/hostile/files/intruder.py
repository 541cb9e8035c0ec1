#!/usr/bin/python3
"""An ordinary user of a host, who tries all that she should not be able to do, again and again while runs go on.

Usage: intruder.py LOG. What succeeds is a line of JSON in LOG; `tries` counts what was refused. It ends when there is a
/run/enough.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

LONG_S = 400
PLACES = ("/var/lib/rollout", "/root")
refused = 0
seen: set[str] = set()


def note(what: str, path: object, found: str = "") -> None:
    """Something that should have been refused, once."""
    line = json.dumps({"what": what, "path": str(path), "found": found[:2000]})
    if line not in seen:
        seen.add(line)
        print(line, flush=True)


def tried(what: str, path: object, deed: Callable[[], object]) -> None:
    global refused
    try:
        found = deed()
    except OSError:
        refused += 1
    else:
        note(what, path, str(found or ""))


def inside(place: Path) -> Iterator[Path]:
    """The files below a place, as far as they may be listed."""
    for directory, directories, files in os.walk(place, onerror=lambda _error: None):
        yield from (Path(directory) / name for name in [*directories, *files])


def files(place: Path) -> None:
    """Read, write and replace what belongs to rollouts."""
    for path in [place, *inside(place)]:
        if path.is_file():
            tried("read", path, lambda path=path: path.read_text(errors="replace"))
            tried("write", path, lambda path=path: os.close(os.open(path, os.O_WRONLY)))
        elif path.is_dir():
            if path != place:
                tried("list", path, lambda path=path: os.listdir(path))
            aside = path.with_name(path.name + ".mine")
            tried("rename", path, lambda path=path, aside=aside: os.rename(path, aside))
            mine = path / f"guard.{os.getpid()}"
            tried("create", mine, lambda mine=mine: mine.write_text("mine"))
    # By names that are known, whether or not they can be listed.
    for name in (".env", "progress.json", "ledger.jsonl", "lock.json", "guard.pyz", "guard.log", ".step"):
        for application in ("hostile", "guarded"):
            path = Path("/var/lib/rollout") / application / name
            tried("read", path, lambda path=path: path.read_text(errors="replace"))
            tried("replace", path, lambda path=path: os.rename("/dev/null", path))


def agents() -> None:
    """Talk to the agents of runs, and take their places."""
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        path = line.partition("/")[1] + line.partition("/")[2]
        if "/.agent-" not in path:
            continue
        # As the agent has bound it: by a descriptor of its door.
        place = Path("/var/lib/rollout/hostile") / Path(path).name
        tried("rename", place, lambda place=place: os.rename(place, f"/tmp/mine-{os.getpid()}"))
        tried("remove", place, lambda place=place: os.unlink(place))
        with socket.socket(socket.AF_UNIX) as talking:
            tried("connect", place, lambda place=place, talking=talking: talking.connect(str(place)))
    with socket.socket(socket.AF_UNIX) as talking:
        tried("connect", "/var/run/docker.sock", lambda: talking.connect("/var/run/docker.sock"))


def content(path: Path) -> bytes:
    """The beginning of a file; OSError where there is nothing in it, as in those of a process that ends."""
    found = path.open("rb").read(64)
    if not found:
        raise OSError
    return found


def processes() -> None:
    """Read what processes have on their command lines, in their environments and in memory."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == os.getuid():
                continue
            line = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # Everybody may: the test looks for secrets there.
            note("command line", process.name, line)
            for file in ("environ", "mem", "maps"):
                tried(file, process / file, lambda process=process, file=file: content(process / file))


def main() -> None:
    sys.stdout = open(sys.argv[1], "w")  # noqa: SIM115
    ends = time.monotonic() + LONG_S
    rounds = 0
    while time.monotonic() < ends and not os.path.exists("/run/enough"):
        for place in PLACES:
            files(Path(place))
        agents()
        processes()
        rounds += 1
        time.sleep(0.5)
    print(json.dumps({"what": "tries", "path": str(rounds), "found": str(refused)}), flush=True)


main()
