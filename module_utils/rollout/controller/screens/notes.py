"""Sentences about the state of hosts: what a run found before it began, and what status.yml has to say of them. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.domain.printable import inline, quoted
from ansible.module_utils.rollout.domain.units import span, times
from ansible.module_utils.rollout.errors import Refusal

OPEN = "open"
_TAKEN_AWAY = "took the release away: there was no stable one to bring back"
INTERRUPTED = Refusal(
    "Drift",
    "Interrupted {what}, by run {run} on its way to {release}.",
    "roll out or roll back again: see [interrupted runs](#interrupted-runs)",
)
LOCK_OF_DEAD = Refusal(
    "Drift",
    "{who}, is dead, but holds the lock: the next run takes it over.",
    "roll out or roll back again: the run's controller was killed",
)
LOCK_EXPIRED = Refusal(
    "Drift",
    "{who}, has given no sign of life for {quiet}: the next run takes its lock over.",
    "roll out or roll back again: the run's controller, another machine, was killed",
)
AT_WORK = Refusal(
    "Drift",
    "{who}, is at work (last sign of life {quiet} ago).",
    "wait for that run: it [holds the lock](#locks)",
)
ENTRY_LOST = Refusal(
    "Drift",
    "the ledger is damaged: entry {entry} is gone. Restore it from a backup, or move it away.",
    "restore `ledger.jsonl` from a backup, or move it away: somebody edited it, or the disk is failing. Runs refuse until then",
)
TORN = Refusal(
    "Drift",
    "the ledger has a torn line (a power loss?); it was passed over.",
    "go on: one entry is missing, and no run needs it",
)
GUARD_ARMED = Refusal(
    "The guard",
    "a guard is armed by run {run} and {when} unless that run is confirmed.{dead}",
    "wait: a run is at work, or was interrupted",
)
GUARD_WAITS = Refusal(
    "The guard",
    "waits for {who}, for {rest} at most,",
    "wait for that run, or if you know that it is dead: `ansible-playbook playbooks/unlock.yml`. The guard acts at once then",
)
GUARD_STUCK = Refusal(
    "The guard",
    " It has tried, and tries again: {why}",
    "fix what follows the colon, or run `rollout.yml` or `rollback.yml`",
)
GUARD_DEAD = Refusal(
    "The guard",
    " But it is not alive: run rollout.yml or rollback.yml.",
    "run `rollout.yml` or `rollback.yml`: the host was rebooted and has no unit",
)
GUARD_ACTED = Refusal(
    "The guard",
    "run {run} was never confirmed, so the guard {back}.{fault}",
    "find out why the run was not confirmed, then roll out again. `But: …` behind it: a gate of the stable release did not pass",
)
GUARD_BARRED = Refusal(
    "The guard",
    "run {run} was never confirmed, and the guard left everything as it is: {why}",
    "choose one of the two commands behind the colon; see [the two ways back](data.md#the-two-ways-back)",
)
PLAIN_PROCESS = Refusal(
    "The guard",
    "The guard of {hosts} is a plain process: it does not survive a reboot. ansible-playbook playbooks/prepare.yml installs the "
    "systemd unit that does.",
    "type `ansible-playbook playbooks/prepare.yml`, once",
)
NO_SYSTEMD = Refusal(
    "The guard",
    "{hosts} has no systemd: the guard is a plain process and does not survive a reboot.",
    "keep that host up while a run is at work",
)
CRASHED_BEFORE = Refusal(
    "A gate did not hold",
    "{host}: on {stable}, the release before this run, services had crashed and were restarted: {services}. Going back to it "
    "fixes nothing.",
    "look at their logs, or go back to an older stable release, if this run came back to that one",
)
STACK_LEFT = Refusal(
    "A stack that left",
    "{host}: stack {stack} is still running, but the inventory no longer assigns it to this host. To remove it (volumes are "
    "kept), run there: docker compose --project-name {project} down",
    "type that command there, or put the stack back",
)


def crashed(host: str, services: Sequence[Mapping[str, Any]], stable: str) -> list[str]:
    """The services that had crashed before the run began, on the release that a host comes from.

    Args:
        services: as a preview has them.
    """
    found = {str(s["service"]): times(int(s["restarts"])) for s in inline(services) if s.get("restarts")}
    if not found or not stable:
        return []
    return [CRASHED_BEFORE.text(host=host, services=", ".join(f"{s} {often}" for s, often in found.items()), stable=stable)]


def state_notes(infos: Mapping[str, Mapping[str, Any]], status: bool = False) -> list[tuple[str, str]]:
    """What the hosts' ledgers have to say, and for a ``status`` their locks and guards.

    A lock whose run is known to be dead has ``dead``.

    Returns:
        What kind of note it is (`OPEN` for an interrupted run), and the sentence with its hosts.
    """
    said: dict[tuple[str, str], tuple[list[str], str]] = {}

    def say(host: str, key: tuple[str, str], sentence: str) -> None:
        # What one run did on several hosts is said once; seconds differ between them, the first one's will do.
        said.setdefault(key, ([], sentence))[0].append(host)

    for host, info in inline(infos).items():
        ledger, lock, guard = info["ledger"], info.get("lock"), info.get("guard")
        open_run = (ledger["interrupted"] or {}).get("run")
        at_work = bool(status and lock and not lock.get("dead") and lock["expires_in"] > 0)
        if status and lock:
            say(host, ("lock", lock["run"]), _doing(lock))
        if open_run and not (at_work and lock and lock["run"] == open_run):
            sentence = interrupted(ledger["interrupted"]) + (" Roll out or roll back again." if status else "")
            say(host, (OPEN, f"{open_run} {sentence}"), sentence)
        if status and guard:
            when = f"fires in {span(guard['fires_in'])}" if guard["fires_in"] > 0 else "is firing"
            if guard["fires_in"] <= 0 and guard.get("waits_for"):
                when = GUARD_WAITS.text(who=guard["waits_for"], rest=span(guard["waits_s"]))
            stuck = GUARD_STUCK.text(why=guard["stuck"]) if guard.get("stuck") else ""
            dead = "" if guard["alive"] else GUARD_DEAD.text()
            sentence = GUARD_ARMED.text(run=guard["run"], when=when, dead=dead) + stuck
            say(host, ("guard", guard["run"] + dead + stuck + guard.get("waits_for", "")), sentence)
        barred = ledger.get("barred") or {}
        if barred:
            sentence = GUARD_BARRED.text(run=barred["run"], why=barred.get("fault", ""))
            say(host, ("barred", sentence), sentence)
        closed = ledger.get("closed") or {}
        if closed.get("by") == "guard" and not open_run:
            fault = f" But: {closed['fault']}" if closed.get("fault") else ""
            back = f"brought {closed['name']} back" if closed.get("name") else _TAKEN_AWAY
            sentence = GUARD_ACTED.text(run=closed["run"], back=back, fault=fault)
            say(host, ("closed", sentence), sentence)
        if ledger.get("lost"):
            sentence = ENTRY_LOST.text(entry=ledger["lost"])
            say(host, ("lost", sentence), sentence)
        elif ledger["torn"]:
            say(host, ("torn", ""), TORN.text())
    return [(kind, f"{', '.join(hosts)}: {sentence}") for (kind, _key), (hosts, sentence) in said.items()]


def _doing(lock: Mapping[str, Any]) -> str:
    if lock.get("dead"):
        return LOCK_OF_DEAD.text(who=lock["who"])
    if lock["expires_in"] <= 0:
        return LOCK_EXPIRED.text(who=lock["who"], quiet=span(lock["quiet"]))
    return AT_WORK.text(who=lock["who"], quiet=span(lock["quiet"]))


def interrupted(last: Mapping[str, Any]) -> str:
    """The sentence for a run that neither confirmed nor reverted."""
    what = {
        "armed": "after its guard was armed, before anything was switched",
        "switching": f"switching {last.get('service', 'its services')}",
        "quiesced": "after what writes was stopped, before its jobs were done",
        "job": f"at job {last.get('job', '?')}",
        "restoring": f"restoring the data of {last.get('kept', '?')}",
        "reverting": f"taking {last.get('service', '?')} away",
        "switched": f"after stack {last.get('stack', '?')} was switched, before the release was confirmed",
    }.get(str(last["event"]), str(last["event"]))
    return INTERRUPTED.text(what=what, run=last["run"], release=last.get("release", "?"))


def before(
    infos: Mapping[str, Mapping[str, Any]], taken_over: Sequence[str], empty: Sequence[str], confirm_timeout: float
) -> list[str]:
    """What a run found before it began, and what its guards do not cover.

    Args:
        infos: host -> what observing it returned.
        taken_over: sentences about locks.
        empty: sentences about waves without hosts.
    """
    notes = list(dict.fromkeys(inline(taken_over))) + [sentence for _kind, sentence in state_notes(infos)]
    if notes:
        notes = ["Found at the start:\n" + "\n".join("  " + n for n in notes)]
    without = {word: [h for h, i in infos.items() if i.get("keeper") == word] for word in ("process", "nobody")}
    if confirm_timeout and without["process"]:
        notes.append(PLAIN_PROCESS.text(hosts=", ".join(without["process"])))
    if confirm_timeout and without["nobody"]:
        notes.append(NO_SYSTEMD.text(hosts=", ".join(without["nobody"])))
    return notes + list(empty)


def left(host: str, stacks: Mapping[str, str]) -> list[str]:
    """The advice on stacks (each with its Compose project) that run on a host to which the inventory no longer assigns them."""
    return [STACK_LEFT.text(host=host, stack=inline(s), project=quoted(p)) for s, p in stacks.items()]


def pairs(releases: Mapping[str, str]) -> str:
    """Host to release as ``sha-a (core) with sha-b (gpu, workers-b)``."""
    by_release: dict[str, list[str]] = {}
    for host, release in releases.items():
        by_release.setdefault(release, []).append(host)
    return " with ".join(f"{'an unknown one' if r == '?' else r} ({', '.join(hosts)})" for r, hosts in by_release.items())
