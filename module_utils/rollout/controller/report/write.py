"""Writes the report of a run: its document, its page, and the list of runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Mapping

from ansible.module_utils.rollout.controller.report import page
from ansible.module_utils.rollout.controller.report.document import is_run
from ansible.module_utils.rollout.errors import SYSTEM, Refusal
from ansible.module_utils.rollout.io.atomic import write_atomic

ROOT = Path(__file__).resolve().parents[4]
# The list of runs has the newest ones: each is read for it.
LISTED = 200
UNWRITTEN = Refusal(
    "Reports",
    "The report could not be written: {why}",
    "make room, or set `ROLLOUT_REPORTS`; the run itself is as the screen says",
)


def write(document: Mapping[str, Any]) -> str:
    """Write the report into reports/, or into the directory that the environment variable ROLLOUT_REPORTS names.

    Args:
        document: see docs/report.schema.json.

    Returns:
        A sentence with the page's path, or with the reason why there is none; empty if no reports are wanted.
    """
    reports = Path(os.environ.get("ROLLOUT_REPORTS", ROOT / "reports"))
    if str(reports) in ("", "."):
        return ""
    if not is_run(document["run"]):
        return UNWRITTEN.text(why=f"{document['run']!r} is not the id of a run.")
    directory = reports / document["run"]
    try:
        # It holds logs, which are for the operator alone.
        if not reports.exists():
            reports.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        write_atomic(directory / "report.json", json.dumps(document, indent=1))
        write_atomic(directory / "report.html", page.page(document))
        write_atomic(reports / "index.html", page.index(_summaries(reports)))
    except OSError as error:
        return UNWRITTEN.text(why=SYSTEM.text(reason=error.strerror, file=error.filename or reports))
    except Exception as error:  # the verdict must be told whatever becomes of its report
        return UNWRITTEN.text(why=f"{type(error).__name__}: {error}. This is a defect of the rollout.")
    here = Path.cwd()
    return f"Report: {directory.relative_to(here) if directory.is_relative_to(here) else directory}/report.html"


def _summaries(reports: Path) -> list[dict[str, Any]]:
    found = []
    # By their ids, which begin with the time.
    for file in sorted(reports.glob("*/report.json"), reverse=True)[:LISTED]:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            found.append({**page.summary(document), "run": document["run"]})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not one of ours, or half of one
    return found
