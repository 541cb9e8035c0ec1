"""The report of a run as one HTML page that needs nothing else, and the list of runs. Pure, on the controller alone.

The run document is described by docs/report.schema.json. A page is made of whatever part of it is there: a run that was
refused has no events, and a report must not fail because a fact is missing. Any text in it may hold anything.
"""

from __future__ import annotations

import base64
import difflib
import functools
import hashlib
import re
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence
from urllib.parse import quote

import jinja2
from ansible.module_utils.rollout.controller.report import timeline
from ansible.module_utils.rollout.controller.report.timeline import Document, dicts
from ansible.module_utils.rollout.domain.printable import printable
from ansible.module_utils.rollout.domain.units import clock, human, length, number
from ansible.module_utils.rollout.domain.verdict import INTERRUPTED, JOB_FAILED, REFUSED, REVERTED, SUCCEEDED, UNCHANGED
from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"
# Verdict -> tone of the band: all is well, the old release was kept, somebody must look.
_TONES = {SUCCEEDED: "good", UNCHANGED: "good", REFUSED: "held", REVERTED: "held", JOB_FAILED: "held", INTERRUPTED: "held"}
_ICONS = {"good": "#17653a", "held": "#b07a1a", "bad-end": "#a11d1d"}
_CHANGES = {
    "keep": "unchanged",
    "create": "new",
    "recreate": "recreated",
    "replace": "replaced",
    "scale": "scaled",
    "remove": "removed",
}
# What a run's line in the list of runs needs of its document.
_SUMMARY = ("run", "action", "check", "verdict", "good", "release", "started", "seconds")


def page(document: Document) -> str:
    """The report of a run.

    Args:
        document: see docs/report.schema.json. Its secrets are masked already.
    """
    run = _clean(document)
    hosts = dicts(run.get("hosts"))
    services = [(_text(host.get("name")), service) for host in hosts for service in dicts(host.get("services"))]
    # What was only looked at or refused was planned, not done.
    planned = bool(run.get("check")) or run.get("verdict") == REFUSED
    tried = not planned and run.get("verdict") not in (SUCCEEDED, UNCHANGED)
    if tried:
        # On its way back a service is away once more.
        services = [(host, {**one, "gap": timeline.outage(run, host, one) or one.get("gap")}) for host, one in services]
    return _render(
        "report.html.j2",
        release=_text(run.get("release")),
        tone=tone(run.get("verdict")),
        title=title(run),
        sentence=_sentence(run),
        facts=[(name, value) for name, value in _facts(run) if value],
        back=_text(run.get("back")),
        faults=[_fault(fault) for fault in dicts(run.get("faults"))],
        pictures=timeline.pictures(run),
        legend=timeline.legend(run),
        events=[_event(event) for event in timeline.spans(run.get("events"))],
        hosts=[_host(host) for host in hosts],
        planned=planned,
        tried=tried,
        services=[_service(host, service) for host, service in services],
        jobs=[_job(_text(host.get("name")), job) for host in hosts for job in dicts(host.get("jobs"))],
        torch=[_torch(host, service) for host, service in services if isinstance(service.get("torch"), Mapping)],
        images=[
            (_text(image.get("repository")), _text(image.get("digest")), _size(image.get("bytes")))
            for image in dicts(run.get("images"))
        ],
        diffs=[_diff(_text(host.get("name")), diff) for host in hosts for diff in dicts(host.get("diff"))],
        notes=[_text(note) for note in run.get("notes") or []] if isinstance(run.get("notes"), list) else [],
    )


def _job(host: str, job: Document) -> dict[str, str]:
    return {"host": host, "job": _text(job.get("job")), "took": length(job.get("seconds")), "log": _text(job.get("log"))}


def summary(document: Document) -> dict[str, Any]:
    """What `index` needs of a run."""
    return {key: document[key] for key in _SUMMARY if key in document}


def index(summaries: Sequence[Document]) -> str:
    """The list of runs, newest first; each links to ``<run id>/report.html`` beside it.

    Args:
        summaries: a `summary` of each run, in any order.
    """
    runs = sorted(dicts(_clean(list(summaries))), key=lambda r: (_text(r.get("started")), _text(r.get("run"))), reverse=True)
    return _render(
        "index.html.j2",
        tone=tone(runs[0].get("verdict")) if runs else "good",
        title="Runs",
        runs=[
            {
                "run": _text(run.get("run")),
                "href": quote(_text(run.get("run")), safe="") + "/report.html",
                "when": when(run.get("started")),
                "action": _text(run.get("action")) + (" (check)" if run.get("check") else ""),
                "release": _text(run.get("release")),
                "verdict": _text(run.get("verdict")),
                "tone": tone(run.get("verdict")),
                "took": length(run.get("seconds")),
            }
            for run in runs
        ],
    )


def title(run: Document) -> str:
    """A run in a few words: ``Rollout succeeded``, ``Rollback check refused``."""
    words = [_text(run.get("action")) or "run", "check" if run.get("check") else "", _text(run.get("verdict")) or "unknown"]
    text = " ".join(word for word in words if word)
    return text[:1].upper() + text[1:]


def tone(verdict: Any) -> str:
    """The colour of a verdict; one that is not known is a bad end."""
    return _TONES.get(_text(verdict), "bad-end")


def when(started: Any) -> str:
    """An RFC 3339 time for people; any other text stays as it is."""
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(?:Z|\+00:00)$", r"\1 \2 UTC", _text(started))


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(template: str, **facts: Any) -> str:
    css = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    circle = f"<circle cx='4' cy='4' r='4' fill='{_ICONS[facts['tone']]}'/>"
    icon = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>{circle}</svg>"
    # The page may use this style sheet and its icon; whatever else found its way in is not run and not fetched.
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    facts |= {"css": Markup(css), "icon": f"data:image/svg+xml,{quote(icon)}", "policy": policy}  # nosec B704 # a file of ours
    return _environment().get_template(template).render(facts)


def _clean(value: Any) -> Any:
    """The document with its texts as a page may show them."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _size(value: Any) -> str:
    size = number(value)
    return "" if size is None else human(size)


def _sentence(run: Document) -> str:
    """The verdict's sentence, without the words that the heading says already."""
    head = _text(run.get("head"))
    start = f"{_text(run.get('action')).upper()} {_text(run.get('verdict')).upper()}: "
    for known in (start, "CHECK: "):
        if head.startswith(known):
            head = head[len(known) :]
    return head[:1].upper() + head[1:] if head.split(" ")[0] in ("nothing", "what", "a", "another", "the", "it") else head


def _facts(run: Document) -> list[tuple[str, str]]:
    return [
        ("Release", _text(run.get("release"))),
        ("Started", when(run.get("started"))),
        ("Took", length(run.get("seconds"))),
        ("By", _text(run.get("who"))),
        ("Run", _text(run.get("run"))),
    ]


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    where = [("Host ", "host"), ("service ", "service"), ("gate ", "gate")]
    words = [prefix + _text(fault[key]) for prefix, key in where if fault.get(key)]
    phase = f"Phase {_text(fault['phase'])}" if fault.get("phase") else ""
    return {
        "where": ", ".join(words) or "The run",
        "phase": phase,
        "msg": _text(fault.get("msg")),
        "log": _text(fault.get("log")),
    }


def _event(event: Mapping[str, Any]) -> dict[str, str]:
    phase = _text(event.get("phase"))
    return {
        "host": _text(event.get("host")),
        "service": _text(event.get("service")),
        "phase": timeline.PHASES.get(phase, phase),
        "from": clock(event["from"]),
        "took": length(max(0.0, event["to"] - event["from"])),
        "bad": "failed" if event.get("good") is False else "",
        "detail": _text(event.get("detail")),
    }


def _host(host: Mapping[str, Any]) -> dict[str, str]:
    words = {key: _text(host.get(key)) for key in ("name", "old", "new", "state")}
    return {**words, "to_pull": _size(host.get("to_pull")), "free": _size(host.get("free"))}


def _service(host: str, service: Mapping[str, Any]) -> dict[str, str]:
    action = _text(service.get("action"))
    old, new = _text(service.get("old")), _text(service.get("new"))
    return {
        "host": host,
        "service": _text(service.get("service")),
        "stack": _text(service.get("stack")),
        "change": _CHANGES.get(action, action),
        "kept": "kept" if action == "keep" else "",
        "why": _text(service.get("why")),
        "releases": " → ".join(dict.fromkeys(name for name in (old, new) if name)),
        "digest": _text(service.get("digest")),
        "gap": length(service.get("gap")),
        "drain": _text(service.get("drain")),
    }


def _torch(host: str, service: Mapping[str, Any]) -> dict[str, Any]:
    found, driver, torch = service["torch"], _map(service["torch"].get("driver")), _map(service["torch"].get("torch"))
    verdict, reason = _text(found.get("verdict")), _text(found.get("reason"))
    warnings = found.get("warnings")
    return {
        "host": host,
        "service": _text(service.get("service")),
        "verdict": verdict,
        "tone": {"pass": "good", "fail": "bad"}.get(verdict, "held"),  # nosec B105 # of a verdict
        "expected": _text(found.get("expected")).replace("torch for ", ""),
        "torch": _text(torch.get("version")) or "none",
        "cuda": _text(torch.get("cuda") or torch.get("hip")),
        "driver": _text(driver.get("version")),
        "devices": [
            {
                "name": _text(device.get("name")).replace("NVIDIA ", ""),
                "free": _gib(device.get("memory_free_mib")),
                "total": _gib(device.get("memory_total_mib")),
            }
            for device in dicts(found.get("devices"))
        ],
        "reason": "" if verdict == "pass" else ": ".join(word for word in (reason, _text(found.get("observed"))) if word),
        "remedy": "" if verdict == "pass" else _text(found.get("remedy")),
        "warnings": [_text(warning) for warning in warnings] if isinstance(warnings, list) else [],
    }


def _gib(mib: Any) -> str:
    value: Optional[float] = number(mib)
    return "" if value is None else f"{value / 1024:.1f} GiB"


def _diff(host: str, diff: Mapping[str, Any]) -> dict[str, Any]:
    """A difference as lines, each with the element that shows what it is: ins, del, or a span of a class."""
    before, after = _text(diff.get("before")).splitlines(), _text(diff.get("after")).splitlines()
    old, new = _text(diff.get("before_header")), _text(diff.get("after_header"))
    lines = []
    for n, line in enumerate(difflib.unified_diff(before, after, old, new, lineterm="")):
        kind = "name" if n < 2 else {"+": "ins", "-": "del", "@": "at"}.get(line[:1], "")
        lines.append((kind, line))
    count = {kind: sum(1 for k, _line in lines if k == kind) for kind in ("ins", "del")}
    return {"host": host, "name": new or old or "difference", "lines": lines, "count": f"+{count['ins']} −{count['del']}"}
