"""After the first rollout, run twice."""

from conftest import MACHINE

STATE = MACHINE.state


def test_first_release_runs(runs, health):
    runs("sha-aaaaaa1")
    assert health["status"] == "healthy"
    assert health["release"] == "sha-aaaaaa1"


def test_ledger_tells_one_run_in_order(ledger):
    assert [e["seq"] for e in ledger] == list(range(1, len(ledger) + 1))
    assert [e["event"] for e in ledger if e["event"] in ("staged", "confirmed")] == ["staged", "confirmed"]
    # The job that makes the tables, behind the database that it needs, and before anything else.
    assert [e["event"] for e in ledger if e["event"] in ("job", "ran", "switching")][:3] == ["job", "ran", "switching"]
    started = [e["service"] for e in ledger if e["event"] == "switching"]
    # The host's two stacks of workers are brought at the same time, so either may be first.
    assert [s for s in started if s != "training-worker-gpu"] == ["backend", "backtest-worker-1", "training-worker-1"]
    assert started.count("training-worker-gpu") == 1
    assert started.index("training-worker-gpu") >= 1


def test_state_is_for_its_owner_alone(host):
    assert host.file(STATE).mode == 0o700
    for file in ("core/.env", "release.json", "core/docker-compose.core.yml"):
        assert host.file(f"{STATE}/releases/sha-aaaaaa1/{file}").mode == 0o600
    assert host.file(f"{STATE}/ledger.jsonl").mode == 0o600


def test_secret_arrives_byte_for_byte_and_stays_out_of_the_ledger(host):
    secret = 'it\'s a "pa$$word" # with \\ é'
    seen = host.check_output("docker exec ktrdr-core-backend-1 printenv KTRDR_DATABASE_PASSWORD")
    assert seen == secret
    assert "word" not in host.file(f"{STATE}/ledger.jsonl").content_string
    assert "word" not in host.file(f"{STATE}/releases/sha-aaaaaa1/release.json").content_string.replace("PASSWORD", "")


def test_metrics_of_the_second_run_which_changed_nothing(metrics):
    assert [s.labels["verdict"] for s in metrics["rollout_last_run_verdict"] if s.value] == ["unchanged"]
    assert {s.value for s in metrics["rollout_last_run_service_outage_seconds"]} == {0}
    assert [s.value for s in metrics["rollout_runs"] if s.labels["end"] == "rollout"] == [1]


def test_a_strict_status_finds_no_drift(status):
    failed, document = status()
    assert (failed, document["as_released"], document["drift"]) == (0, True, [])
    assert [(e["release"], e["action"]) for e in document["history"]] == [("sha-aaaaaa1", "rollout")]
