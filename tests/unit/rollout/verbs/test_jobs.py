"""The jobs of a release on a host with a fake engine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.compose import RELEASE_LABEL
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.verbs import jobs, locking, stage
from ansible.module_utils.rollout.verbs.jobs import Asked
from story import Host, actions, done_when, failure, held, order, stack, with_job

ENDS = {"Status": "exited", "ExitCode": 0}


@pytest.fixture
def host(tmp_path):
    """A host with release a, whose service web is behind a database; a job ends at once."""
    found = Host(tmp_path / "state")
    found.rollout("a", text=stack("sha-aaaaaaa", ("web",)))
    found.engine.broken["run job"] = dict(ENDS)
    return found


def text_of(letter, **keys):
    return with_job("sha-" + letter * 7, **keys)


def told(host):
    """What the ledger says of jobs: event, job, code."""
    return [(e["event"], e["job"], e.get("code")) for e in host.store.ledger().data if "job" in e]


def preview(host, letter, text, **asked):
    found = stage.stage(host.store, host.engine, replace(order(letter, text), jobs=Asked(**asked)), True)
    return found["preview"]


def one_offs(host):
    return [c for c in host.engine.made if c["Config"]["Labels"].get("com.docker.compose.oneoff")]


def test_a_job_runs_once_in_the_new_image_and_leaves_no_container(host):
    name = host.staged("b", text=text_of("b"))
    before = len(host.engine.calls)
    done = host.jobs(name, "run-b")
    (row,) = done["jobs"]
    assert (row["stack"], row["job"], row["code"], row["log"]) == ("core", "job", 0, "the last line")
    assert done["changed"]
    assert ("job", "job", True) in done_when(done)
    assert told(host) == [("job", "job", None), ("ran", "job", 0)]
    assert one_offs(host) == []
    # Nothing else is touched.
    touched = [call for call in host.engine.calls[before:] if call.startswith(("up", "stop", "rm", "run"))]
    assert [call.split()[0] for call in touched] == ["run", "rm"]
    (log,) = host.store.root.glob("jobs/run-b/*")
    assert (log.name, log.read_text(), log.stat().st_mode & 0o777) == ("core.job.log", "the last line\n", 0o600)
    # And not a second time.
    assert host.jobs(name, "run-c")["jobs"] == []
    assert not host.jobs(name, "run-c")["changed"]


def test_its_container_is_the_releases_own(host, monkeypatch):
    seen = []
    real = host.engine.inspect
    monkeypatch.setattr(host.engine, "inspect", lambda kind, names: seen.append(one_offs(host)) or real(kind, names))
    host.jobs(host.staged("b", text=text_of("b")), "run-b")
    (made,) = next(found for found in seen if found)
    labels = made["Config"]["Labels"]
    assert made["Name"] == "/app-core-job-job"
    assert (labels[RELEASE_LABEL], labels["rollout.job"], labels["com.docker.compose.project"]) == (
        "sha-bbbbbbb",
        "run-b",
        "app-core",
    )


@pytest.mark.parametrize(
    ("state", "keys", "what"),
    [
        ({"Status": "exited", "ExitCode": 3}, {}, "it ended with exit status 3 after 0 s"),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, {}, "it was killed: out of memory"),
        ({"Status": "running"}, {"deadline": 4.0}, "it was stopped at its deadline, 4 s after its start"),
    ],
)
def test_a_job_that_fails(host, state, keys, what):
    host.engine.broken["run job"] = state
    name = host.staged("b", text=text_of("b", **keys))
    said, facts = failure(host.jobs, name, "run-b")
    nothing = "It may have changed data, and nothing was backed up before it."
    assert said == f"Job job (stack core) of sha-bbbbbbb failed: {what}. {nothing}"
    assert {key: facts[key] for key in ("service", "stack", "gate", "release", "begun", "saved", "log")} == {
        **{"service": "job", "stack": "core", "gate": "job", "release": "sha-bbbbbbb"},
        **{"begun": "job", "saved": [], "log": "the last line"},
    }
    assert one_offs(host) == []
    (_begun, (event, _job, code)) = told(host)
    assert event == "ran"
    assert code
    # What failed runs again.
    host.engine.broken["run job"] = dict(ENDS)
    assert host.jobs(name, "run-c")["jobs"]


def test_of_a_compatible_one_no_data_is_spoken(host):
    host.engine.broken["run job"] = {"Status": "exited", "ExitCode": 1}
    name = host.staged("b", text=text_of("b", compatible=True))
    said, _facts = failure(host.jobs, name, "run-b")
    assert said == "Job job (stack core) of sha-bbbbbbb failed: it ended with exit status 1 after 0 s."


def test_one_that_docker_does_not_start(host):
    host.engine.fail["run job"] = "no such device"
    said, facts = failure(host.jobs, host.staged("b", text=text_of("b")), "run-b")
    assert "failed: Starting job failed: no such device." in said
    assert facts["gate"] == "job"
    assert told(host) == [("job", "job", None), ("ran", "job", -1)]


def test_one_whose_container_somebody_removes(host, monkeypatch):
    host.engine.broken["run job"] = {"Status": "running"}
    monkeypatch.setattr(clock, "sleep", lambda seconds: host.engine.made.remove(one_offs(host)[0]))
    said, _facts = failure(host.jobs, host.staged("b", text=text_of("b")), "run-b")
    assert "failed: somebody removed its container." in said


def test_an_engine_that_goes_away_is_no_failure_of_the_job(host):
    host.engine.fail["run job"] = "Cannot connect to the Docker daemon"
    name = host.staged("b", text=text_of("b"))
    _said, facts = failure(host.jobs, name, "run-b")
    assert facts["away"]
    assert told(host) == [("job", "job", None)]
    del host.engine.fail["run job"]
    assert host.jobs(name, "run-b")["jobs"]


def killed(host, name, run="run-b"):
    """A run that is killed while its job runs; what it leaves."""
    host.engine.broken["run job"] = {"Status": "running"}

    def kill(_seconds):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "sleep", kill)
        with pytest.raises(KeyboardInterrupt):
            host.jobs(name, run)
    host.engine.broken["run job"] = dict(ENDS)
    (left,) = one_offs(host)
    return left["Id"]


def test_killed_half_way_it_runs_again_and_its_old_container_goes_first(host):
    name = host.staged("b", text=text_of("b"))
    left = killed(host, name)
    before = len(host.engine.calls)
    assert host.jobs(name, "run-c")["jobs"]
    calls = [call for call in host.engine.calls[before:] if call.startswith(("stop", "rm", "run"))]
    assert calls[:3] == [f"stop {left}", f"rm --force --volumes {left}", "run job"]
    # What it had written is kept with the run that was killed.
    assert [path.parent.name for path in sorted(host.store.root.glob("jobs/*/core.job.log"))] == ["run-b", "run-c"]


@pytest.mark.parametrize("way", ["bring_back", "remove"])
def test_the_way_back_starts_no_job_and_leaves_none(host, way):
    name = host.staged("b", text=text_of("b"))
    killed(host, name)
    if way == "bring_back":
        host.bring_back("sha-aaaaaaa", "run-b")
    else:
        host.remove(name, "run-b")
    assert one_offs(host) == []
    assert host.engine.calls.count("run job") == 1


def test_killed_half_way_it_is_refused_where_it_must_not_run_again(host):
    text = text_of("b", rerun=False)
    name = host.staged("b", text=text)
    killed(host, name)
    sentence = (
        "Job job (stack core) was killed half-way by run run-b, and has rerun: false. Look at what it had done: docker logs "
        f"app-core-job-job has its output there, or {host.store.root}/jobs/run-b/core.job.log once the container is gone. If it "
        "may run again, type -e rerun=job; if it is done, -e done=job."
    )
    with pytest.raises(RolloutError) as error:
        preview(host, "b", text)
    assert str(error.value) == sentence
    assert failure(host.jobs, name, "run-c")[0] == sentence
    assert host.engine.calls.count("run job") == 1
    assert [job["job"] for job in preview(host, "b", text, rerun=("job",))["jobs"]] == ["job"]
    # It is told, so that a step comes which records it.
    found = preview(host, "b", text, done=("job",))
    assert [(job["job"], job["done"], job["compatible"]) for job in found["jobs"]] == [("job", True, True)]
    assert "quiet" not in found
    assert found["settled"] is False
    assert host.jobs(name, "run-c", rerun=("job",))["jobs"]


def test_somebody_says_that_it_is_done(host):
    name = host.staged("b", text=text_of("b", rerun=False))
    killed(host, name)
    assert host.jobs(name, "run-c", done=("job",))["jobs"] == []
    assert told(host)[-1] == ("ran", "job", 0)
    # Of one that was never begun nobody can say it.
    name = host.staged("c", text=text_of("c"))
    assert host.jobs(name, "run-d", done=("job",))["jobs"]


def test_a_variant_runs_it_again_only_if_it_differs(host):
    host.jobs(host.staged("b", text=text_of("b")), "run-b")
    # Another file of the release, but nothing of the job.
    other = json.loads(text_of("b"))
    other["services"]["web"]["environment"] = {"A": "1"}
    name = host.staged("b", text=json.dumps(other))
    assert name == "sha-bbbbbbb.2"
    assert host.jobs(name, "run-c")["jobs"] == []
    other["services"]["job"]["environment"] = {"A": "1"}
    assert host.jobs(host.staged("b", text=json.dumps(other)), "run-d")["jobs"]


def test_a_job_behind_the_switch_waits_for_it(host):
    name = host.staged("b", text=text_of("b", job="after"))
    assert host.jobs(name, "run-b")["jobs"] == []
    assert host.jobs(name, "run-b", "after")["jobs"]
    # Whatever it says: nothing could be stopped before it.
    assert [e["compatible"] for e in host.store.ledger().data] == [True, True]


def test_one_host_runs_it_for_all(host):
    name = host.staged("b", text=text_of("b", run_on="first"))
    assert host.jobs(name, "run-b", first=())["jobs"] == []
    assert host.jobs(name, "run-b", first=("core",))["jobs"]


def test_what_it_needs_is_started_first(tmp_path):
    host = Host(tmp_path / "state")
    host.engine.broken["run job"] = dict(ENDS)
    name = host.staged("a", text=text_of("a"))
    done = host.jobs(name, "run-a")
    assert done_when(done)[:1] == [("start", "db", True)]
    calls = [call for call in host.engine.calls if call.startswith(("up", "run"))]
    assert calls == ["up db create", "run job"]
    assert "db" in host.engine.running()


def test_a_kept_service_that_does_not_come_up_fails_before_the_job(tmp_path):
    host = Host(tmp_path / "state")
    host.engine.broken["db"] = {"Status": "exited", "ExitCode": 1}
    said, facts = failure(host.jobs, host.staged("a", text=text_of("a")), "run-a")
    assert said.startswith("Service db (stack core) does not pass")
    assert facts["begun"] == "quiet"
    assert told(host) == []


def test_the_guard_is_armed_before_a_job_that_is_not_compatible(host):
    for letter, keys in (("b", {}), ("c", {"compatible": True})):
        armed = []
        one = host.deployment(host.staged(letter, text=text_of(letter, **keys)), "run-" + letter)
        jobs.before([one], Asked(), lambda armed=armed: armed.append(told(host)))
        assert [told_then[-1:] for told_then in armed] == ([[]] if letter == "b" else [])


def test_the_lock_is_kept_alive_meanwhile(host, monkeypatch):
    renewed = []
    monkeypatch.setattr(locking, "renew", lambda store, run, ttl, check: renewed.append((run, ttl)))
    host.engine.broken["run job"] = {"Status": "running"}
    failure(lambda: host.jobs(host.staged("b", text=text_of("b", deadline=100.0)), "run-b", ttl=900.0))
    assert 2 <= len(renewed) <= 4
    assert set(renewed) == {("run-b", 900.0)}


def test_a_run_that_lost_its_lock_leaves_the_job_alone(host):
    name = host.staged("b", text=text_of("b"))
    held(host.store, "run-b")
    with host.store.step("run-b"):
        held(host.store, "run-z")
        _said, facts = failure(host.jobs, name, "run-b")
    assert facts["fenced"] == "run"


def test_the_preview_tells_of_it(host):
    found = preview(host, "b", text_of("b"))
    (job,) = found["jobs"]
    assert job == {
        **{"stack": "core", "job": "job", "when": "before", "compatible": False, "deadline": 600.0},
        "why": "other services wait until it has ended",
    }
    assert found["quiet"] == [{"stack": "core", "service": "web"}]
    assert found["settled"] is False
    # Its container is none of a service.
    assert set(actions(found)) == {"db", "web"}
    host.jobs(host.staged("b", text=text_of("b")), "run-b")
    assert not {"jobs", "quiet"} & set(preview(host, "b", text_of("b")))
    assert preview(host, "c", text_of("c"))["jobs"][0]["took"] == 0.0
    # How long one took that somebody says is done is not known.
    entry = next(e for e in host.store.ledger().data if e["event"] == "ran")
    host.store.append(
        "ran", "run-d", **{k: entry[k] for k in ("name", "release", "stack", "job", "key")}, code=0, seconds=9.0, by="x"
    )
    assert preview(host, "c", text_of("c"))["jobs"][0]["took"] == 0.0


def test_a_compatible_one_stops_nothing(host):
    assert "quiet" not in preview(host, "b", text_of("b", compatible=True))


def test_a_rollback_runs_none(host):
    asked = order("b", text_of("b"))
    assert "jobs" not in stage.stage(host.store, host.engine, asked, True)["preview"]


def test_jobs_that_may_take_longer_than_the_guard_waits_are_refused(host):
    with pytest.raises(RolloutError) as error:
        preview(host, "b", text_of("b"), confirm=600.0)
    assert str(error.value).startswith("The jobs of this host (job) may take 600 s together, and rollout_confirm_timeout is 600")


def test_backups_that_took_long_count_while_the_guard_waits(host):
    document = json.loads(text_of("b"))
    document["x-rollout"]["db"] = {"keep": True, "backup": {"dump": ["app", "save"], "restore": ["app", "load"]}}
    text = json.dumps(document)
    assert preview(host, "b", text, confirm=900.0)["jobs"]
    about = {"stack": "core", "service": "db", "name": "sha-aaaaaaa", "release": "sha-aaaaaaa", "file": "db-1.dump"}
    host.store.append("backup", "run-a", backup="db-1", bytes=1, sha256="", seconds=1000.0, **about)
    with pytest.raises(RolloutError) as error:
        preview(host, "b", text, confirm=900.0)
    assert str(error.value) == (
        "What is backed up before the jobs of this host (job) took 1000 s last time, and rollout_confirm_timeout is 900: the "
        "guard would act meanwhile. Raise rollout_confirm_timeout above that."
    )
    # Without a stop before it, no guard waits.
    document["x-rollout"]["job"] = {**document["x-rollout"].get("job", {}), "compatible": True}
    assert preview(host, "b", json.dumps(document), confirm=900.0)["jobs"]


def test_the_container_of_a_service_that_is_a_job_now_goes(host):
    text = stack("sha-bbbbbbb", ("web", "job"))
    host.rollout("b", text=text)
    assert "job" in host.engine.running()
    name = host.staged("c", text=text_of("c"))
    host.jobs(name, "run-c")
    assert "job" not in host.engine.running()
    assert set(actions(host.bring(name, "run-c"))) == {"db", "web"}


def test_what_is_kept_is_saved_before_jobs(host, monkeypatch):
    taken = []

    def take(deployment, service, why, arm):
        taken.append((service.name, why))
        return {"backup": f"{service.name}-1", "stack": "core", "service": service.name, "bytes": 1}

    monkeypatch.setattr(jobs.backups, "take", take)
    document = json.loads(text_of("b"))
    document["x-rollout"]["db"] = {"backup": {"preset": "postgres"}}
    one = host.deployment(host.staged("b", text=json.dumps(document)), "run-b")

    def arm():
        """Nothing that writes was stopped."""

    assert jobs.save([one], [], arm)["backups"] == []
    assert [record["backup"] for record in jobs.save([one], ["job", "seed"], arm)["backups"]] == ["db-1"]
    assert taken == [("db", "before job, seed")]
    # Of a database that has never run there is nothing to save.
    host.engine.made.clear()
    assert jobs.save([one], ["job"], arm)["backups"] == []
    # A host of the fleet on which the release has no stack.
    assert jobs.save([], [], arm)["backups"] == []
