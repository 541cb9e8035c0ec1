#!/usr/bin/env python3
"""Writes the tables of variables in docs/inventory.md from the roles' argument_specs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/inventory.md"


def default(facts: dict[str, Any]) -> str:
    """A default as the tables write it."""
    value = facts.get("default")
    if value is None:
        return "required" if facts.get("required") else ""
    if value == "":
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "`" + text.replace("|", "\\|") + "`"


def table(roles: list[str]) -> str:
    """The table of the variables that these roles take."""
    lines = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for role in roles:
        spec = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
        for name, facts in spec["argument_specs"]["main"]["options"].items():
            if name.startswith(f"{role}_") and role in ("plan", "status"):
                continue  # what our own playbooks give
            said = facts["description"]
            text = " ".join((said if isinstance(said, str) else " ".join(said)).split())
            # Ansible's markup.
            text = re.sub(r"\b[CVOM]\(([^)]*)\)", r"`\1`", text)
            one_of = f" One of {', '.join(f'`{c}`' for c in facts['choices'])}." if facts.get("choices") else ""
            lines.append(f"| `{name}` | {facts['type']} | {default(facts)} | {text}{one_of} |")
    return "\n".join(lines)


def written(text: str) -> str:
    """The page with its tables made anew: each stands between <!-- variables of ROLE ... --> and <!-- end -->."""
    return re.sub(
        r"(<!-- variables of ([\w ]+) -->\n).*?(\n<!-- end -->)",
        lambda found: found[1] + table(found[2].split()) + found[3],
        text,
        flags=re.S,
    )


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
