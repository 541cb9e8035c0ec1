"""After the first rollout, and the same again."""

from operators import wait

IMAGES = {"core": "ktrdr-backend", "workers-b": "ktrdr-worker-cpu", "workers-c": "ktrdr-worker-cpu", "gpu": "ktrdr-worker-gpu"}


def test_every_host_runs_the_release_by_digest(fleet):
    for host, image in IMAGES.items():
        release = fleet[host].release("sha-aaaaaa1")
        assert fleet.releases(host) == {"sha-aaaaaa1"}
        for service in fleet[host].running():
            container = f"ktrdr-{release['stacks'][0]}-{service}-1"
            found = fleet.exec(host, "docker", "inspect", "--format", "{{.Config.Image}}", container)
            repository, _at, digest = fleet[host].image("sha-aaaaaa1", image).partition("@")
            assert found == f"{repository}:sha-aaaaaa1@{digest}"
    assert set(fleet["workers-b"].running()) == {"backtest-worker-1", "training-worker-1"}


def test_every_host_is_confirmed_by_one_run_and_nobody_is_at_work(fleet):
    confirmed = {host: fleet.ledger(host)[-1] for host in fleet.hosts}
    assert {entry["event"] for entry in confirmed.values()} == {"confirmed"}
    assert len({entry["run"] for entry in confirmed.values()}) == 1
    for host in fleet.hosts:
        assert not fleet.exists(host, "lock.json"), host
        wait(lambda h=host: not fleet.exists(h, "guard.armed"), 10, f"the guard of {host} ended")


def test_the_guard_was_kept_by_systemd_and_armed_before_the_first_switch(fleet):
    for host in fleet.hosts:
        events = [entry["event"] for entry in fleet.ledger(host)]
        # On the backend's host the migration comes before.
        assert [e for e in events if e not in ("job", "ran")][:3] == ["staged", "armed", "switching"]
        assert next(entry["keeper"] for entry in fleet.ledger(host) if entry["event"] == "armed") == "systemd"


def test_the_password_arrives_byte_for_byte_and_lies_where_others_cannot_read_it(fleet, canaries):
    assert fleet.exec("core", "docker", "exec", "ktrdr-core-backend-1", "printenv", "KTRDR_DATABASE_PASSWORD") == canaries[0]
    modes = fleet.exec("core", "sh", "-c", "cd /var/lib/rollout/ktrdr && stat -c '%a %U' . releases/*/*/.env ledger.jsonl")
    assert modes.splitlines() == ["700 ktrdr", "600 ktrdr", "600 ktrdr"]
