#!/usr/bin/env python3
"""Runs the parts of `make test-nightly`, and keeps what became of each in docs/nightly.md.

Without names it runs every part that has not passed at this commit: after an interruption, type the same again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/nightly.md"
KEPT = ROOT / ".cache/nightly"
# How many processes want a processor while the unit tests run.
LOAD = 20
HEAD = "| part | date (UTC) | commit | result | seconds | tests |\n| --- | --- | --- | --- | --- | --- |\n"
NEVER = "not run yet"
SUMMARY = re.compile(r"((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s")


@dataclass(frozen=True)
class Row:
    """The result of a part: when it began, at which commit (`+`: and changes), and the counts of its tests."""

    part: str
    date: str = ""
    commit: str = ""
    result: str = NEVER
    seconds: int = 0
    tests: str = ""

    def line(self) -> str:
        """The row as the page has it."""
        cells = [f"`{self.part}`", self.date, self.commit, self.result, str(self.seconds or ""), self.tests]
        return f"| {' | '.join(cells)} |\n"


def scenarios() -> list[str]:
    """Those with tests that CI leaves out."""
    found = {path.parts[-3] for path in ROOT.glob("molecule/*/tests/*.py") if "mark.nightly" in path.read_text()}
    return sorted(found)


def commands() -> dict[str, list[str]]:
    """Name of a part -> what runs it, the quick ones first."""
    python = [sys.executable, "-u", __file__]
    return {
        "unit-under-load": [*python, "--under-load"],
        "audit": [".cache/audit/bin/python", "scripts/audit.py"],
        "mutation": ["scripts/mutation.sh"],
        **{f"scenario-{name}": ["scripts/molecule.sh", name] for name in scenarios()},
    }


def commit() -> str:
    """The last commit that changes more than the page."""
    but = ["--", ".", f":!{PAGE.relative_to(ROOT)}"]
    ask = {"cwd": ROOT, "text": True, "check": True, "capture_output": True}
    last = subprocess.run(["git", "log", "-1", "--format=%h", *but], **ask).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", *but], **ask).stdout.strip()
    return last + ("+" if changed else "")


def counts(text: str) -> str:
    """The counts of all pytest runs in a log, or the figures of mutmut or of the audit if it has these."""
    text = re.sub(r"\x1b\[[0-9;]*[mK]", "", text)
    total: dict[str, int] = {}
    for found in SUMMARY.findall(text):
        for number, what in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", found):
            total[what] = total.get(what, 0) + int(number)
    figures = re.findall(r"^\d+ (?:mutants|packages): .*$", text, re.M)
    return ", ".join([*(f"{number} {what}" for what, number in total.items()), *figures])


def known() -> dict[str, Row]:
    """Part -> its last result: from the page, or from a newer file that a part has left."""
    rows = {}
    for line in re.findall(r"^\| `.*\|$", PAGE.read_text(), re.M):
        part, date, at, result, seconds, tests = (cell.strip() for cell in line.strip("|").split("|"))
        rows[part.strip("`")] = Row(part.strip("`"), date, at, result, int(seconds or 0), tests)
    for file in KEPT.glob("*.json"):
        row = Row(**json.loads(file.read_text()))
        if row.date >= rows.get(row.part, row).date:
            rows[row.part] = row
    return rows


def publish() -> None:
    """Write the page's table."""
    rows = known()
    table = HEAD + "".join(rows.get(part, Row(part)).line() for part in commands())
    before, _head, after = PAGE.read_text().partition(HEAD)
    PAGE.write_text(before + table + re.sub(r"\A(\|.*\n)*", "", after))


def run(part: str) -> Row:
    """Run a part and keep what became of it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    date, at, began = time.strftime("%Y-%m-%d %H:%M", time.gmtime()), commit(), time.monotonic()
    log = KEPT / f"{part}.log"
    print(f"--- {part}: what it says is in {log.relative_to(ROOT)}", flush=True)
    with log.open("w") as kept:
        environment = {**os.environ, "SCENARIO_TESTS": "nightly"}
        code = subprocess.run(commands()[part], cwd=ROOT, env=environment, stdout=kept, stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    tests = counts(text)
    # A part without a single test has shown nothing.
    result = "passed" if tests else "skipped" if re.search("^skipped: ", text, re.M) else "failed"
    if code:
        result = "failed"
    row = Row(part, date, at, result, round(time.monotonic() - began), tests)
    (KEPT / f"{part}.json").write_text(json.dumps(asdict(row)))
    publish()
    if result == "failed":
        print("\n".join(text.splitlines()[-80:]))
    print(row.line(), end="", flush=True)
    return row


def under_load() -> int:
    """The unit tests while LOAD processes want a processor."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOAD)]
    try:
        return subprocess.run(["pytest", "-n", "4", "--dist", "worksteal", "tests/unit"], cwd=ROOT).returncode
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> int:
    """Returns 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="run these, whether they passed or not")
    parser.add_argument("--list", action="store_true", help="print the parts as JSON")
    parser.add_argument("--publish", action="store_true", help="write docs/nightly.md from what was kept")
    parser.add_argument("--under-load", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print(json.dumps(list(commands())))
        return 0
    if options.under_load:
        return under_load()
    if options.publish:
        publish()
        return 0
    unknown = set(options.parts) - set(commands())
    if unknown:
        parser.error(f"There is no part {', '.join(sorted(unknown))}: it is one of {', '.join(commands())}.")
    at, rows = commit(), known()
    passed = {part for part, row in rows.items() if (row.result, row.commit) == ("passed", at) and not at.endswith("+")}
    done = [run(part) for part in options.parts or [p for p in commands() if p not in passed]]
    if not done:
        print("Every part has passed at this commit.")
    return int(any(row.result == "failed" for row in done))


if __name__ == "__main__":
    sys.exit(main())
