"""NVIDIA's rules: which driver runs which CUDA, which build runs on which card, what an image asks of its host. Pure.

Drivers: tables 2 and 3 of the CUDA Toolkit's release notes. Cards: the CUDA programming guide on binary and PTX compatibility.
NVIDIA_REQUIRE_*: the documentation of the NVIDIA container toolkit.
"""

from __future__ import annotations

import operator
import re
from typing import Any, Callable, Mapping, Optional, Sequence

# CUDA major -> the oldest driver branch that runs its programs (minor version compatibility).
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# Driver branch -> the CUDA version that it brings, as nvidia-smi shows it.
_BRINGS = {
    450: "11.0",
    455: "11.1",
    460: "11.2",
    465: "11.3",
    470: "11.4",
    495: "11.5",
    510: "11.6",
    515: "11.7",
    520: "11.8",
    525: "12.0",
    530: "12.1",
    535: "12.2",
    545: "12.3",
    550: "12.4",
    555: "12.5",
    560: "12.6",
    565: "12.7",
    570: "12.8",
    575: "12.9",
    580: "13.0",
    590: "13.1",
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


def numbers(version: object) -> tuple[int, ...]:
    """The leading numbers of a version: ``2.13.0+cu128`` is (2, 13, 0); empty where there are none."""
    found = re.match(r"\d+(\.\d+)*", str(version))
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def older(version: object, minimum: object) -> bool:
    """Whether a version is older than a minimum; parts that the shorter lacks count as 0."""
    one, other = numbers(version), numbers(minimum)
    length = max(len(one), len(other))
    return one + (0,) * (length - len(one)) < other + (0,) * (length - len(other))


def driver_for(cuda: object) -> Optional[int]:
    """The oldest driver branch for a CUDA version, or None for one that is not in the table."""
    return OLDEST_DRIVER.get(next(iter(numbers(cuda)), 0))


def driver_too_old(driver: object, cuda: object) -> bool:
    """Whether a driver is known to be too old for programs of a CUDA version; False where either is unknown."""
    needed = driver_for(cuda)
    branch = numbers(driver)[:1]
    return bool(needed and branch and branch[0] < needed)


def brought_by(driver: object) -> Optional[str]:
    """The CUDA version of a driver's branch, or None for one older than the table."""
    branch = numbers(driver)[:1]
    known = [b for b in _BRINGS if branch and b <= branch[0]]
    return _BRINGS[max(known)] if known else None


def runs_on(arch_list: Sequence[str], capability: str) -> bool:
    """Whether a torch built for ``arch_list`` (``sm_86``, ``compute_90``, ``sm_90a``) has code for a card.

    Binary code runs on its own major with the same or a later minor; PTX (``compute_``) on all later cards; what has a
    suffix on exactly its card.
    """
    card = numbers(capability)
    for arch in arch_list:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", arch)
        if not found:
            continue
        kind, built, exact = found[1], (int(found[2]), int(found[3])), found[4]
        if built == card:
            return True
        if not exact and built <= card and (kind == "compute" or built[0] == card[0]):
            return True
    return False


def unmet(environment: Mapping[str, str], facts: Mapping[str, Optional[str]]) -> str:
    """The first NVIDIA_REQUIRE_* of an image's environment that the host is known not to meet, or empty.

    A requirement is alternatives between spaces, each of them conditions between commas. ``facts`` are ``cuda``,
    ``driver``, ``arch`` and ``brand`` of the host; a condition on what is not known is not held against it.
    """
    if environment.get("NVIDIA_DISABLE_REQUIRE", "").lower() not in ("", "0", "false", "f"):
        return ""
    for name in sorted(environment):
        if name.startswith("NVIDIA_REQUIRE_") and environment[name].strip():
            choices = environment[name].split()
            if all(any(_holds(c, facts) is False for c in choice.split(",")) for choice in choices):
                return f"{name}={environment[name]}" if len(choices) == 1 else f"{name}={choices[0]} (or other alternatives)"
    return ""


def _holds(condition: str, facts: Mapping[str, Optional[str]]) -> Optional[bool]:
    found = re.fullmatch(r"(\w+)(>=|<=|!=|==|=|>|<)(.+)", condition)
    value = facts.get(found[1]) if found else None
    if not found or value is None:
        return None
    compare, wanted = _OPERATORS[found[2]], found[3]
    if found[1] == "brand":
        return compare(value.lower(), wanted.lower())
    one, other = numbers(value), numbers(wanted)
    length = max(len(one), len(other))
    return compare(one + (0,) * (length - len(one)), other + (0,) * (length - len(other)))
