"""The results as a page of Markdown. Pure."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from bench import stats
from bench.stats import Record, Spread

FIGURES = ("wall", "healthy", "failed", "outage", "cpu")
BESIDE = ("floor", "shell", "compose-wait", "plain-ansible")
WHO = {
    "shell": "the specification's shell commands, `sleep 30`",
    "compose-wait": "`docker compose up -d --wait`, tier by tier",
    "plain-ansible": "a plain playbook: `docker_compose_v2` with `wait`, then `uri`",
    "rollout": "this project, stop-first",
    "start-first": "this project, start-first behind a proxy",
    "floor": "the engine's API alone, containers created beforehand",
}
ALSO = {
    "plain-ansible-again": "the plain playbook, nothing to do",
    "rollout-again": "this project, nothing to do",
    "rollback": "this project, `rollback.yml`",
    "revert": "this project, a broken release until the old one is whole again",
    "rehearsal": "this project, the same broken release with `rehearse: true`, until it is refused",
    "cold-pull": "`docker compose pull`, nothing of the image there",
    "cold-rollout": "this project, nothing of the image there",
}


def cell(found: Optional[Spread], digits: int = 1) -> str:
    """Median and range; one number where all are the same."""
    if not found:
        return "-"
    median, least, most = (f"{value:.{digits}f}" for value in (found.median, found.least, found.most))
    return median if least == most else f"{median} ({least}-{most})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(records: Sequence[Record], what: str, figures: Sequence[str]) -> list[str]:
    runs = len(stats.values(records, what, "wall"))
    count = str(runs) if not stats.failures(records, what) else f"{runs} and {stats.failures(records, what)} failed"
    return [count, *(cell(stats.spread(records, what, figure), {"failed": 0, "outage": 2}.get(figure, 1)) for figure in figures)]


def contestants(records: Sequence[Record]) -> str:
    """Who rolled out, in what time, and with what ratio to others."""
    here = [name for name in WHO if any(r["what"] == name for r in records)]
    beside = [name for name in BESIDE if name in here]
    rows = []
    for name in here:
        ratios = [stats.ratio(records, name, "wall", other, "wall") for other in beside]
        told = ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        rows.append([f"`{name}`: {WHO[name]}", *_row(records, name, FIGURES), *told])
    head = ["contestant", "runs", "wall s", "Docker-healthy s", "failed requests", "longest outage s", "tool CPU s"]
    return table([*head, *(f"to {name}" for name in beside)], rows)


def also(records: Sequence[Record]) -> str:
    """What else was measured."""
    figures = ("wall", "stage", "after_fault", "failed", "outage", "cpu")
    rows = [[f"`{n}`: {t}", *_row(records, n, figures)] for n, t in ALSO.items() if any(r["what"] == n for r in records)]
    head = ["what", "runs", "wall s", "its stage s", "after the fault s", "failed requests", "longest outage s", "tool CPU s"]
    return table(head, rows) if rows else ""


def targets(records: Sequence[Record]) -> str:
    """Each target beside what was measured."""
    rows = []
    for target in stats.TARGETS:
        judged = stats.judge(records, target)
        value = "-" if judged.value is None else f"{judged.value:.2f}" if target.beside else f"{judged.value:g}"
        failed = stats.failures(records, target.what) + stats.failures(records, target.beside)
        unknown = "a run failed" if failed else "not measured"
        met = {None: unknown, True: "yes", False: "no"}[judged.met]
        rows.append([target.text, f"at most {target.factor:g}", value, met])
    return table(["target", "is", "measured", "met"], rows)


def fleets(records: Sequence[Record]) -> str:
    """The rollouts over SSH, and how many times as long they take on several hosts as on one."""
    names = list(dict.fromkeys(r["what"] for r in records))
    figures = ("wall", "stage", "settle", "cpu")
    rows = [[f"`{name}`", *_row(records, name, figures)] for name in names]
    for name in names[1:]:
        ratios = [stats.ratio(records, name, figure, names[0], figure) for figure in figures]
        rows.append([f"`{name}` to `{names[0]}`", "", *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return table(["fleet", "runs", "wall s", "stage s", "settle s", "controller CPU s"], rows)


def fleets_page(document: dict[str, Any]) -> str:
    """The page of the hosts over SSH."""
    parts = [
        "# Benchmark: hosts over SSH",
        f"{document['began']}, commit {document['commit']}, {document['runs']} rounds, one fleet after the other in each. "
        "Median (least-most).",
        "The hosts are containers of one machine, with engines of their own, and share its processors: more hosts have no "
        "more of them. The number in a name is that of the hosts; one host has all four services, several share them.",
        fleets(document["records"]),
        machine(document["machine"]) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def machine(facts: dict[str, Any]) -> str:
    """One line about the machine."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    records, picture = document["records"], document["picture"]
    asked = f"{document['runs']} rounds, every contestant once in each, one after the other; images pulled before."
    parts = [
        "# Benchmark",
        f"{document['began']}, commit {document['commit']}. {asked} Median (least-most). What is measured: `docs/benchmarks.md`.",
        "The application is a bare FastAPI. The worker of the GPU wave is a bare process: no card and no torch took part.",
        f"![Wall time and longest outage of each contestant]({picture})",
        "## Contestants",
        contestants(records),
        "Ratios are of the medians of wall time.",
        "## What this project does besides",
        also(records),
        "## Targets",
        targets(records),
        "## Machine",
        machine(document["machine"]) + ".",
    ]
    errors = [f"- round {r['round']}, `{r['what']}`: {r['error'].splitlines()[0]}" for r in records if "error" in r]
    if errors:
        parts += ["## What went wrong", "\n".join(errors)]
    return "\n\n".join(part for part in parts if part) + "\n"
