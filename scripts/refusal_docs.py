#!/usr/bin/env python3
"""Writes the tables of sentences in the documentation from the refusals that the code declares."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "docs/operations.md", ROOT / "docs/environments.md"]
# A room stands after those that it imports, so that a sentence is found where it is declared.
ROOMS = [f"module_utils/rollout/{room}" for room in ("domain", "io", "verbs", "agent", "controller")]
ROOMS += ["library", "plugins", "ktrdr/cli"]
FILES = [ROOT / "module_utils/rollout/errors.py"]
FILES += [file for room in ROOMS for file in sorted((ROOT / room).rglob("[!_]*.py")) if not file.is_symlink()]

if str(ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path.append(str(ROOT))


@cache
def names(file: Path) -> dict[str, Any]:
    """The names that a file of the repository defines or imports, as the rest of the code sees them."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[0] in ("module_utils", "ktrdr"):
        return vars(importlib.import_module(".".join(("ansible", *parts) if parts[0] == "module_utils" else parts)))
    return runpy.run_path(str(file), run_name=file.stem)


@cache
def declared() -> list[Any]:
    """All refusals, in the order of their declaration."""
    declaring = [file for file in FILES if re.search(r"^\w+ = Refusal\(", file.read_text(encoding="utf-8"), re.M)]
    # One that is imported by its name is found twice.
    found = {id(said): said for file in declaring for said in names(file).values() if type(said).__name__ == "Refusal"}
    return list(found.values())


def row(said: Any) -> str:
    """The row of one sentence, with … for what it fills in."""
    sentence = "".join(text + ("" if field is None else "…") for text, field, _spec, _how in Formatter().parse(said.sentence))
    return f"| `{sentence.strip()}` | {said.remedy} |"


def table(section: str) -> str:
    """The table of the sentences of one section."""
    return "\n".join(["| it says | do |", "| --- | --- |", *(row(said) for said in declared() if said.section == section)])


def written(text: str) -> str:
    """The page with its tables made anew: each stands between <!-- refusals: SECTION --> and <!-- end -->."""
    return re.sub(
        # Also one without a line yet: what stands behind it is not its own.
        r"(<!-- refusals: ([^\n]+?) -->\n).*?(?<=\n)(<!-- end -->)",
        lambda found: f"{found[1]}{table(found[2])}\n{found[3]}",
        text,
        flags=re.S,
    )


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
