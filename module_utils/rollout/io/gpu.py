"""What a host says of its NVIDIA cards: driver files, nvidia-smi, the kernel log, CDI specifications. Read-only.

nvidia-smi is asked for names, memory and processes alone: it exits 0 on a card that has crashed, so it proves nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from ansible.module_utils.rollout.domain import health
from ansible.module_utils.rollout.domain.torch import cuda
from ansible.module_utils.rollout.io import clock, refusals
from ansible.module_utils.rollout.io.docker_command import execute
from ansible.module_utils.rollout.io.engine import Engine

LOADED = Path("/proc/driver/nvidia/version")
CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
DEVICES = Path("/dev")
# Seconds that a command about the card may take: on a card that hangs, they hang too.
LIMIT_S = 15.0


def facts(engine: Engine) -> dict[str, Any]:
    """What is known of the host's driver, cards and runtime; each part is empty where it cannot be found out.

    Returns:
        driver (loaded, installed, cuda), cards (index, uuid, name, capability, memory_total_mib, memory_free_mib), xids (code,
        text), runtimes (None where the engine does not say), hook (whether
        Docker can give cards without such a runtime), cdi (specification files), cdi_missing (files that they name
        and that are not there), nodes (device files).
    """
    found = cards()
    loaded = _loaded() or (found[0]["driver"] if found else None)
    specifications = [file for place in CDI if place.is_dir() for file in sorted(place.glob("*.y*ml"))]
    nodes = [f"/dev/{name}" for name in sorted(os.listdir(DEVICES)) if re.match(r"nvidia\d|nvhost-ctrl-gpu|dxg$", name)]
    return {
        "driver": {"loaded": loaded, "installed": _installed(), "cuda": cuda.brought_by(loaded) if loaded else None},
        "cards": found,
        "xids": _xids() if loaded else [],
        "runtimes": _runtimes(engine),
        "hook": bool(shutil.which("nvidia-container-runtime-hook", path=_path())),
        "cdi": [str(file) for file in specifications if "nvidia" in _text(file)],
        "cdi_missing": [path for file in specifications for path in _libcuda_of(file) if not os.path.exists(path)],
        "nodes": nodes,
    }


def cards() -> list[dict[str, Any]]:
    """The cards as nvidia-smi lists them; none where it is absent or says nothing."""
    asked = "index,uuid,name,compute_cap,memory.total,memory.free,driver_version"
    out = _said(["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"])
    rows = [[cell.strip() for cell in line.split(",")] for line in out.splitlines()]
    return [
        {
            "index": index,
            "uuid": uuid,
            "name": name,
            "capability": capability if cuda.numbers(capability) else None,
            "memory_total_mib": _whole(total),
            "memory_free_mib": _whole(free),
            "driver": driver,
        }
        for index, uuid, name, capability, total, free, driver in (row for row in rows if len(row) == 7)
    ]


def processes() -> list[dict[str, Any]]:
    """The processes that compute on the cards: pid, name, memory_mib (None where the driver does not tell)."""
    out = _said(["nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader,nounits"])
    rows = [[cell.strip() for cell in line.split(",")] for line in out.splitlines()]
    return [
        {"pid": int(row[0]), "name": row[1], "memory_mib": _whole(row[-1])} for row in rows if len(row) >= 3 and row[0].isdigit()
    ]


def too_full(need_mib: int, only: Sequence[str] = ()) -> str:
    """Why torch cannot start on the cards beside what uses them now; empty where it can, or where that is not known.

    ``only`` are indices or UUIDs of the cards that matter; all do where none is named.
    """
    seen = [c for c in cards() if not only or {c["index"], c["uuid"]} & set(only)]
    short = [c for c in seen if c["memory_free_mib"] is not None and c["memory_free_mib"] < need_mib]
    return f"{short[0]['name']} has {short[0]['memory_free_mib']} MiB free of the {need_mib} needed" if short else ""


def await_release(
    pids: Sequence[int],
    need_mib: int,
    timeout: float,
    engine: Engine,
    fence: Callable[[], None] = lambda: None,
    only: Sequence[str] = (),
) -> float:
    """Wait until the processes ``pids`` have left the cards and ``need_mib`` are free on each; at once without nvidia-smi.

    ``only`` are the service's cards, as for `too_full`. ``fence`` is called before each look; what it raises ends the wait.

    Returns:
        The seconds that it took.

    Raises:
        RolloutError: not within ``timeout`` seconds; names who holds the card.
    """
    began = clock.monotonic()
    while True:
        fence()
        holders = processes()
        full = too_full(need_mib, only)
        waited = clock.monotonic() - began
        if not full and not {p["pid"] for p in holders} & set(pids):
            return round(waited, 2)
        if waited >= timeout:
            who = "; ".join(_holder(p, engine) for p in holders) or "nobody that nvidia-smi names"
            raise refusals.CARD_HELD(seconds=timeout, full=f" ({full})" if full else "", holder=who)
        clock.sleep(health.next_pause(waited))


def _holder(process: dict[str, Any], engine: Engine) -> str:
    memory = f", {process['memory_mib']} MiB" if process["memory_mib"] is not None else ""
    found = re.search(r"docker[-/]([0-9a-f]{64})", _text(Path(f"/proc/{process['pid']}/cgroup")))
    name = engine.run(["inspect", "--format", "{{.Name}}", found[1]])[1].strip().lstrip("/") if found else ""
    return f"pid {process['pid']} ({process['name']}{memory}{f', container {name}' if name else ''})"


def _loaded() -> Optional[str]:
    # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 …"; the open module words it otherwise.
    found = re.search(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(LOADED), re.M)
    return found[1] if found else None


def _installed() -> Optional[str]:
    """The version of the driver's library on the disk, which new containers get; without one, the module's."""
    found = re.search(r"libnvidia-ml\.so\.1 .*=> (\S+)", _said(["ldconfig", "-p"]))
    version = re.search(r"\.so\.(\d+\.\d+(?:\.\d+)?)$", os.path.realpath(found[1])) if found else None
    return version[1] if version else (_said(["modinfo", "--field", "version", "nvidia"]).strip() or None)


def _xids() -> list[dict[str, Any]]:
    """The GPU errors in the kernel log since the start; none where this user may not read it."""
    log = _said(["dmesg"]) or _said(["journalctl", "--dmesg", "--boot", "--quiet", "--no-pager", "--grep", "NVRM: Xid"])
    found = re.findall(r"NVRM: (Xid \([^)]*\): (\d+)[^\n]*)", log)
    return [{"code": int(code), "text": text[:200]} for text, code in found][-20:]


def _runtimes(engine: Engine) -> Optional[list[str]]:
    code, out, _err = engine.run(["info", "--format", "{{range $name, $runtime := .Runtimes}}{{$name}} {{end}}"], timeout=20)
    return out.split() if code == 0 else None


def _libcuda_of(specification: Path) -> list[str]:
    return re.findall(r"hostPath: *['\"]?(\S+/libcuda\.so\.\d[\d.]*)", _text(specification))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _whole(text: str) -> Optional[int]:
    return int(text) if text.isdigit() else None


def _path() -> str:
    # Over SSH an ordinary user's has no sbin.
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin"])


def _said(command: Sequence[str]) -> str:
    """What a command prints; empty where it is absent, fails or hangs."""
    path = _path()
    if not shutil.which(command[0], path=path):
        return ""
    # A driver that hangs keeps nvidia-smi in the kernel, where nobody can end it.
    code, out, _err = execute(list(command), {**os.environ, "PATH": path, "LC_ALL": "C"}, LIMIT_S)
    return "" if code else out
