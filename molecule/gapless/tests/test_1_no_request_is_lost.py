"""Ten rollouts, ten rollbacks and five reverts (one of each in CI), and nobody notices."""

from __future__ import annotations

import pytest
from conftest import run

A, B = "sha-aaaaaa1", "sha-bbbbbb2"


@pytest.mark.parametrize("turn", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, 10))])
def test_a_rollout_and_a_rollback_lose_no_request(callers, backends, one, turn):
    """Half of the turns with responses of 10 s under way, which end by themselves."""
    with callers(long=turn % 2 == 0) as crowd:
        for playbook, release in (("rollout.yml", B), ("rollback.yml", A)):
            assert "backend replaced" in run(playbook, "-e", f"sha={release.removeprefix('sha-')}")
            one(release)
    assert (crowd.failed, set(crowd.slow) - {"ok"}) == (0, set()), f"of {crowd.requests}, an outage of {crowd.outage:.2f} s"
    assert crowd.requests > 200


@pytest.mark.parametrize(
    ("sha", "service"),
    [
        ("bad3a7e", "worker-1"),
        *[pytest.param("badbad3", "backend", marks=pytest.mark.nightly)] * 3,
        pytest.param("bad3a7e", "worker-1", marks=pytest.mark.nightly),
    ],
)
def test_a_broken_release_loses_no_request(callers, one, sha, service):
    """The backend's own failure is seen before a request reaches it; a worker's takes the new backend back."""
    with callers(long=True) as crowd:
        said = run("rollout.yml", "-e", f"sha={sha}", "-e", "bench_deadline=4", rc=2)
    assert f"Service {service} " in said
    assert "ROLLOUT REVERTED" in said
    assert (crowd.failed, set(crowd.slow) - {"ok"}) == (0, set()), f"of {crowd.requests}, an outage of {crowd.outage:.2f} s"
    one(A)
