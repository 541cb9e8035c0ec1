#!/usr/bin/env python3
"""Asks pip-audit about every package of requirements/*.txt: is a vulnerability of that version known?

Ends with 1 if one is, or if the database does not know a package. If the database is not reached, a line that begins with
`skipped:` says why, and the status is 0. A version that is known to be vulnerable shows whether the database is reached.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.M)
# CVE-2019-10906 and others.
KNOWN_BAD = ("jinja2", "2.10")


def pins(texts: list[str]) -> list[tuple[str, str]]:
    """Name and version of each package of lock files; the flavour of a version (`+cpu`) is not part of it."""
    return sorted({(name, version.partition("+")[0]) for text in texts for name, version in PIN.findall(text)})


def lists(packages: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The packages in lists that have no name twice, as pip-audit wants them."""
    found: list[dict[str, str]] = []
    for name, version in packages:
        into = next((each for each in found if name not in each), None)
        if into is None:
            found.append(into := {})
        into[name] = version
    return [sorted(each.items()) for each in found]


def ask(packages: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
    """The findings of pip-audit for each package, and the reason if there are none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "packages.txt")
        file.write_text("".join(f"{name}=={version}\n" for name, version in packages))
        options = ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off", "--requirement", str(file)]
        done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True)
    why = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode not in (0, 1) or "No module named" in why:
        sys.exit(f"pip-audit could not be run: {why or done.returncode}")
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        return [], why or "pip-audit says nothing"


def main() -> int:
    """Print what is known of the packages that the locks name."""
    answers, why = ask([KNOWN_BAD])
    if not any(answer.get("vulns") for answer in answers):
        why = why or " ".join(str(answer.get("skip_reason", "it answers, and knows no vulnerability")) for answer in answers)
        print(f"skipped: no database of vulnerabilities is reached from here ({why}).")
        return 0
    packages = pins([file.read_text() for file in sorted((ROOT / "requirements").glob("*.txt"))])
    answers = []
    for each in lists(packages):
        found, why = ask(each)
        if why:
            sys.exit(f"pip-audit failed: {why}")
        answers += found
    bad, unknown = 0, len(packages) - len(answers)
    for answer in answers:
        for vulnerability in answer.get("vulns", ()):
            bad += 1
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
            print(f"{answer['name']} {answer['version']}: {vulnerability['id']}; fixed in {fixed}")
        if "skip_reason" in answer:
            unknown += 1
            print(f"{answer['name']}: {answer['skip_reason']}")
    print(f"{len(packages)} packages: {bad} vulnerabilities, {unknown} not known to the database")
    return int(bad > 0 or unknown > 0)


if __name__ == "__main__":
    sys.exit(main())
