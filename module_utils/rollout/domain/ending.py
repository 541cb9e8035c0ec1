"""The services of a stack that end by themselves, its jobs: which they are, and when each runs. Pure."""

from __future__ import annotations

from typing import Any, Collection, Mapping

from ansible.module_utils.rollout.domain.gate import BEFORE

# The sign of a job that has no key job.
WAITED_FOR = "other services wait until it has ended"
NEVER_RESTARTED = "it has restart: 'no', and other services depend on it"
# The keys that a job may have, and a service that stays has no use for.
_OF_JOBS = {"compatible", "deadline", "job", "rerun", "run_on"}


def jobs(
    config: Mapping[str, Any], gates: Mapping[str, Mapping[str, Any]], kept: Collection[str] = ()
) -> dict[str, tuple[str, str]]:
    """Job -> when it runs (``before`` or ``after``), and why it is taken for one; empty where its key ``job`` says so.

    A service whose key is ``job: false`` is none. Without the key it is one where another service waits until it has ended, or
    where it is never restarted, others depend on it, and it has nothing of a service that stays: no port, no health check, no
    gate, and is none of ``kept``.
    """
    specs: Mapping[str, Any] = config.get("services") or {}
    conditions: dict[str, set[str]] = {}
    for spec in specs.values():
        for other, how in (spec.get("depends_on") or {}).items():
            conditions.setdefault(other, set()).add(str(how.get("condition") if isinstance(how, Mapping) else ""))
    found = {}
    for name, spec in specs.items():
        gate, asked = gates.get(name) or {}, conditions.get(name, set())
        said = gate.get("job") if isinstance(gate, Mapping) else None
        if said is not None:
            found.update({name: (str(said), "")} if said else {})
        elif "service_completed_successfully" in asked:
            found[name] = (BEFORE, WAITED_FOR)
        elif spec.get("restart") == "no" and asked and name not in kept and _may_end(spec, gate, asked):
            found[name] = (BEFORE, NEVER_RESTARTED)
    return found


def _may_end(spec: Mapping[str, Any], gate: Any, asked: Collection[str]) -> bool:
    """Whether nothing of a service says that it stays."""
    stays = spec.get("ports") or spec.get("healthcheck") or "service_healthy" in asked
    return not stays and isinstance(gate, Mapping) and set(gate) <= _OF_JOBS
