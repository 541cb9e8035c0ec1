from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain import compose, jobs
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.ledger import Ledger
from hypothesis import given
from hypothesis import strategies as st

JOB = Service("migrate", "r/app", True, config_hash="c1", job="before", deadline=60.0)


def ledger(*told):
    """A ledger with these entries: event, job, key, code."""
    about = ({"event": event, "job": job, "key": key, "code": code} for event, job, key, code in told)
    return Ledger(data=[{"seq": n, "run": f"run-{n}", "stack": "core", **facts} for n, facts in enumerate(about, 1)])


RAN, BEGUN, FAILED = ("ran", "migrate", "k", 0), ("job", "migrate", "k", None), ("ran", "migrate", "k", 3)


def test_a_job_is_known_by_its_image_and_its_configuration():
    one = jobs.key(JOB, {"digest": "sha256:a", "id": "sha256:1"})
    assert one == jobs.key(replace(JOB, deadline=1.0, compatible=True), {"digest": "sha256:a", "id": "sha256:2"})
    others = {
        jobs.key(JOB, {"digest": "sha256:b", "id": "sha256:1"}),
        jobs.key(replace(JOB, config_hash="c2"), {"digest": "sha256:a"}),
        jobs.key(JOB, {"digest": "", "id": "sha256:1"}),
    }
    assert len(others - {one}) == 3


@pytest.mark.parametrize(
    ("told", "undone", "done"),
    [
        ([], (), False),
        ([BEGUN], (), False),
        ([BEGUN, FAILED], (), False),
        ([BEGUN, RAN], (), True),
        # A restore took it back; then it ran once more.
        ([BEGUN, RAN], (2,), False),
        ([BEGUN, RAN, BEGUN, RAN], (2,), True),
        # Begun anew and killed, it is done all the same.
        ([BEGUN, RAN, BEGUN], (), True),
        ([("ran", "other", "k", 0)], (), False),
        ([("ran", "migrate", "k2", 0)], (), False),
    ],
)
def test_a_job_is_done_once(told, undone, done):
    assert jobs.is_done(ledger(*told), "core", "migrate", "k", undone) is done
    assert not jobs.is_done(ledger(*told), "other", "migrate", "k", undone)


@pytest.mark.parametrize(
    ("told", "rerun", "begun", "left"),
    [
        ([], False, False, False),
        ([BEGUN], False, True, True),
        ([BEGUN], True, True, False),
        ([BEGUN, FAILED], False, False, False),
        ([BEGUN, FAILED, BEGUN], False, True, True),
        # With another key it is another job.
        ([("job", "migrate", "k2", None)], False, False, False),
        ([("job", "other", "k", None)], False, False, False),
    ],
)
def test_a_job_that_was_killed_half_way(told, rerun, begun, left):
    found = ledger(*told)
    assert jobs.is_begun(found, "core", "migrate", "k") is begun
    assert bool(jobs.half_way(found, "core", replace(JOB, rerun=rerun), "k")) is left


@given(st.lists(st.sampled_from([BEGUN, RAN, FAILED, ("job", "migrate", "k2", None), ("ran", "migrate", "k2", 0)])))
def test_property_only_a_good_end_with_that_key_counts(told):
    found = ledger(*told)
    assert jobs.is_done(found, "core", "migrate", "k") is (RAN in told)
    mine = [entry for entry in told if entry[2] == "k"]
    assert jobs.is_begun(found, "core", "migrate", "k") is bool(mine and mine[-1] == BEGUN)


def test_the_last_run_of_each_job():
    told = ledger(BEGUN, FAILED, BEGUN, RAN, ("job", "warm", "w", None))
    told.data[3].update(release="sha-b", at="noon", seconds=1.5)
    assert jobs.runs(told, ["core"]) == [
        {"stack": "core", "job": "migrate", "release": "sha-b", "at": "noon", "code": 0, "seconds": 1.5},
        {"stack": "core", "job": "warm", "release": None, "at": None, "code": None, "seconds": None},
    ]
    assert jobs.runs(told, ["other"]) == []


def test_one_host_runs_a_job_for_all():
    assert jobs.is_mine(JOB, "core", [])
    first = replace(JOB, run_on="first")
    assert not jobs.is_mine(first, "core", ["other"])
    assert jobs.is_mine(first, "core", ["core"])


def test_the_guard_waits_longer_than_all_jobs():
    two = [JOB, replace(JOB, name="seed", deadline=40.0)]
    assert jobs.too_long(two, 100.5) == jobs.too_long(two, 0) == jobs.too_long([], 1) == []
    assert jobs.too_long(two, 100.0) == [
        "The jobs of this host (migrate, seed) may take 100 s together, and rollout_confirm_timeout is 100: the guard would act "
        "while one still runs. Raise rollout_confirm_timeout above that, or lower their deadlines."
    ]


CONFIG = {
    "services": {
        "migrate": {"depends_on": {"web": {}}},
        "web": {"depends_on": {"db": {}, "migrate": {}}},
        "db": {"networks": {"back": None}},
        "cache": {},
        "seed": {},
        "alone": {"network_mode": "none"},
    }
}
KEPT = [Service("db", "d", False), Service("cache", "c", False)]


@pytest.mark.parametrize(
    ("job", "needed"),
    [
        # Through another service, and in spite of a circle.
        ("migrate", ["db"]),
        # It says nothing: what is on its networks.
        ("seed", ["cache"]),
        ("alone", []),
    ],
)
def test_what_a_job_needs(job, needed):
    assert [service.name for service in jobs.needed(CONFIG, replace(JOB, name=job), KEPT)] == needed


@given(st.permutations(["a", "b", "c", "d"]), st.data())
def test_property_no_job_runs_before_one_that_it_depends_on(names, data):
    """Also where a service that stays is between them."""
    needs = {name: data.draw(st.lists(st.sampled_from(names[:n]), unique=True)) if n else [] for n, name in enumerate(names)}
    specs = {name: {"image": "i", "depends_on": {other: {} for other in needs[name]}} for name in sorted(names)}
    ends = data.draw(st.lists(st.sampled_from(names), unique=True))
    document = {"services": specs, "x-rollout": {name: {"job": "before"} if name in ends else {} for name in names}}
    found = [job.name for job in compose.jobs(document, "f.yml")]
    assert sorted(found) == sorted(ends)

    def reached(name):
        return {*needs[name], *(far for near in needs[name] for far in reached(near))}

    for n, name in enumerate(found):
        assert not reached(name) & set(found[n:])


def test_a_job_may_take_longer_than_a_gate():
    document = {"services": {"one": {"image": "i"}, "two": {"image": "i"}}}
    document["x-rollout"] = {"one": {"job": "before"}, "two": {"job": "after", "deadline": 7}}
    assert [(job.name, job.job, job.deadline) for job in compose.jobs(document, "f.yml")] == [
        ("one", "before", 600.0),
        ("two", "after", 7),
    ]
    assert compose.services(document, "f.yml") == []
