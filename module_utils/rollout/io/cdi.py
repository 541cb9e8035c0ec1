"""The devices of the Container Device Interface that an engine can give: as it says, or as their specifications do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Mapping


def devices(info: Mapping[str, Any]) -> set[str]:
    """Their full names; none if the engine has CDI switched off.

    Args:
        info: what the engine says of itself.
    """
    listed = info.get("DiscoveredDevices")
    # Engines before 28.2 do not list them.
    if listed is not None:
        return {str(one.get("ID")) for one in listed if one.get("Source") == "cdi"}
    found: set[str] = set()
    for place in info.get("CDISpecDirs") or []:
        for file in sorted(Path(place).glob("*.*")):
            try:
                found |= names(file.read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
    return found


def names(text: str) -> set[str]:
    """The devices of one specification, JSON or YAML: hosts have no YAML reader, and nothing else in it is called name."""
    kind = re.search(r"""(?:^|[\s{,])["']?kind["']?\s*:\s*["']?([\w./-]+)""", text)
    found = re.findall(r"""(?:^|[\s{,])["']?name["']?\s*:\s*["']?([\w.:-]+)""", text)
    return {f"{kind[1]}={name}" for name in found} if kind else set()
