"""The metrics of a host after a run. Pure.

node_exporter's textfile collector reads Prometheus's text format: no type but counter, gauge, histogram, summary and untyped,
and no timestamps. With gauges alone, whose samples bear the family's own name, the same text is OpenMetrics too: ``# UNIT`` and
``# EOF`` are comments to the older format. One sample that stands twice would cost the whole scrape.
"""

from __future__ import annotations

import calendar
from datetime import datetime
from typing import Any, Iterable, Iterator, Mapping, Optional

from ansible.module_utils.rollout.domain import data
from ansible.module_utils.rollout.domain import verdict as verdicts
from ansible.module_utils.rollout.domain.ledger import Ledger
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict

VERDICTS = (
    *(verdicts.SUCCEEDED, verdicts.UNCHANGED, verdicts.REFUSED, verdicts.JOB_FAILED),
    *(verdicts.REVERTED, verdicts.REVERT_FAILED, verdicts.UNKNOWN),
)
Labels = dict[str, str]
# Name, labels, value.
Sample = tuple[str, Labels, float]

# The same for every application: several files in one directory must not disagree.
HELP = {
    "rollout_release_info": "The stable release of the host, and the run that confirmed it.",
    "rollout_release_confirmed_timestamp_seconds": "When the stable release was confirmed.",
    "rollout_stable_releases": "Stable releases on the host that can be rolled back to, the present one included.",
    "rollout_runs": "Runs that the host's ledger knows, by how they ended there.",
    "rollout_last_run_info": "The last run that reached the host.",
    "rollout_last_run_verdict": "1 for the verdict of the last run, 0 for all others.",
    "rollout_last_run_start_timestamp_seconds": "When the last run began.",
    "rollout_last_run_duration_seconds": "How long the last run took, from its plan to its verdict.",
    "rollout_last_run_service_duration_seconds": "From before a service was stopped until its gate held.",
    "rollout_last_run_service_outage_seconds": "From a service's stop until it was healthy; only after a good run.",
    "rollout_last_run_service_restarts": "How often the engine had restarted a service when the run looked at it last.",
    "rollout_backup_timestamp_seconds": "When the newest backup of a service was taken.",
    "rollout_backup_bytes": "The size of the newest backup of a service.",
    "rollout_drill_passed": "Whether the last drill proved that a rollback would work on the host.",
    "rollout_drill_timestamp_seconds": "When the last drill began.",
    "rollout_drill_duration_seconds": "How long the last drill took.",
    "rollout_last_run_service_torch_pass": "Whether a service's torch was what it should be, where the run tried it.",  # nosec B105 # a help text
}


def files(application: str) -> tuple[str, str]:
    """The names of the file of its runs, and of that of its drills. No application has a dot in its name."""
    return f"rollout_{application}.prom", f"rollout_{application}.drill.prom"


def text(application: str, host: str, run: Mapping[str, Any], result: Mapping[str, Any], ledger: Ledger) -> str:
    """The file's text.

    Args:
        run: run (id), action, release, verdict, seconds (how long it took).
        result: what the run did on the host, as `report` has it.
    """
    return _written(application, host, (*_run(run), *_ledger(ledger), *_services(str(run["verdict"]), result)))


def drill(application: str, host: str, run: Mapping[str, Any]) -> str:
    """The text of the file of a drill.

    Args:
        run: run (id), verdict (``succeeded`` if a rollback was proven), seconds (how long it took).
    """
    began = _seconds(str(run["run"])[:16], "%Y%m%dT%H%M%SZ")
    samples: list[Sample] = [
        ("rollout_drill_passed", {}, run["verdict"] == verdicts.SUCCEEDED),
        ("rollout_drill_duration_seconds", {}, float(run["seconds"])),
    ]
    samples += [("rollout_drill_timestamp_seconds", {}, began)] if began is not None else []
    return _written(application, host, samples)


def _written(application: str, host: str, samples: Iterable[Sample]) -> str:
    who = {"application": application, "host": host}
    found: dict[str, dict[str, float]] = {}
    for name, labels, value in samples:
        found.setdefault(name, {})[_labels({**who, **labels})] = value
    lines = []
    for name, of_it in found.items():
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
        lines += [f"# UNIT {name} seconds"] if name.endswith("_seconds") else []
        # repr: %g would round a timestamp.
        lines += [f"{name}{labels} {float(value)!r}" for labels, value in of_it.items()]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _run(run: Mapping[str, Any]) -> Iterator[Sample]:
    yield "rollout_last_run_info", {key: str(run[key]) for key in ("run", "action", "release")}, 1
    for verdict in VERDICTS:
        yield "rollout_last_run_verdict", {"verdict": verdict}, run["verdict"] == verdict
    began = _seconds(str(run["run"])[:16], "%Y%m%dT%H%M%SZ")
    if began is not None:
        yield "rollout_last_run_start_timestamp_seconds", {}, began
    yield "rollout_last_run_duration_seconds", {}, float(run["seconds"])


def _ledger(ledger: Ledger) -> Iterator[Sample]:
    if ledger.stable:
        yield "rollout_release_info", {"release": ledger.stable.release, "run": ledger.stable.run}, 1
        at = _seconds(ledger.stable.at, "%Y-%m-%dT%H:%M:%SZ")
        if at is not None:
            yield "rollout_release_confirmed_timestamp_seconds", {}, at
    yield "rollout_stable_releases", {}, len(ledger.known)
    for entry in {(entry["stack"], entry["service"]): entry for entry in data.backups(ledger)}.values():
        of = {"stack": str(entry["stack"]), "service": str(entry["service"])}
        yield "rollout_backup_bytes", of, float(entry["bytes"])
        taken = _seconds(str(entry["at"]), "%Y-%m-%dT%H:%M:%SZ")
        if taken is not None:
            yield "rollout_backup_timestamp_seconds", of, taken
    for action in ("rollout", "rollback"):
        yield "rollout_runs", {"end": action}, sum(one.action == action for one in ledger.confirmed)
    yield "rollout_runs", {"end": "reverted"}, ledger.reverts["run"]
    yield "rollout_runs", {"end": "reverted by guard"}, ledger.reverts["guard"]


def _services(verdict: str, result: Mapping[str, Any]) -> Iterator[Sample]:
    for service in result.get("services") or []:
        labels, seconds = {"stack": str(service.get("stack", "")), "service": service["service"]}, float(service["seconds"])
        if service["action"] != "keep":
            yield "rollout_last_run_service_duration_seconds", {**labels, "action": service["action"]}, seconds
        # After a run that went back, the way back is not in it.
        if verdicts.good(verdict) and service["action"] in ("keep", "recreate", "replace", "scale"):
            yield "rollout_last_run_service_outage_seconds", labels, float(service.get("gap") or 0)
        if "restarts" in service:
            yield "rollout_last_run_service_restarts", labels, float(service["restarts"])
        torch = service.get("torch")
        if torch:
            found = {**labels, "found": torch_verdict.torch_column(torch)}
            yield "rollout_last_run_service_torch_pass", found, torch.get("verdict") == "pass"
    fault = result.get("fault") or {}
    if fault.get("restarts") and fault.get("service"):
        labels = {"stack": str(fault.get("stack", "")), "service": fault["service"]}
        yield "rollout_last_run_service_restarts", labels, float(fault["restarts"])
    if fault.get("gate") == "torch" and fault.get("service"):
        labels = {"stack": str(fault.get("stack", "")), "service": fault["service"], "found": "not what it should be"}
        yield "rollout_last_run_service_torch_pass", labels, 0


def _labels(labels: Labels) -> str:
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


def _seconds(at: str, form: str) -> Optional[float]:
    try:
        return calendar.timegm(datetime.strptime(at, form).timetuple())
    except ValueError:
        return None
