"""Canary secrets are found nowhere: not in output at -vvv, ledger, process lists, journal, or files that others may read."""

import pytest


@pytest.fixture(scope="module")
def loud(fleet, controller, on):
    """Everything that a rollout at -vvv, with a pull and a login in it, and a status said and left."""
    on("sha-bbbbbb2")
    for host in fleet.hosts:
        # The next rollout has to log in and pull again.
        fleet.forget_images(host, "sha-aaaaaa1")
        fleet.watch_processes(host)
    run = controller.run("rollout.yml", "-e", "sha=aaaaaa1", "-vvv", "--diff")
    return run.out + controller.run("status.yml", "-vvv").out


def test_output(loud, canaries):
    assert len(loud) > 10_000
    for canary in canaries:
        assert canary not in loud


@pytest.mark.parametrize("host", ["core", "workers-b", "workers-c", "gpu"])
def test_host(loud, fleet, canaries, host):
    seen = fleet.processes(host)
    assert "docker" in seen, "nothing was recorded"
    places = {
        "process list": seen,
        "journal": fleet.exec(host, "journalctl", "--no-pager", "--output=cat"),
        "ledger": fleet.exec(host, "cat", "/var/lib/rollout/ktrdr/ledger.jsonl"),
        "release.json": fleet.exec(host, "sh", "-c", "cat /var/lib/rollout/ktrdr/releases/*/release.json"),
        "world-readable files": fleet.world_readable(host, canaries),
        "docker's own logins": fleet.exec(
            host, "sh", "-c", "cat ~ktrdr/.docker/config.json ~root/.docker/config.json 2>&1 || true"
        ),
    }
    for place, text in places.items():
        for canary in canaries:
            assert canary not in text, place
    left = fleet.exec(host, "sh", "-c", "ls -d /var/lib/rollout/ktrdr/.login.* 2>/dev/null || true")
    assert left == "", "the login is still there"


def test_the_canaries_are_where_they_belong(loud, fleet, canaries):
    """Otherwise the search above proves nothing."""
    assert canaries[0] in fleet.exec("core", "sh", "-c", "docker exec ktrdr-core-backend-1 printenv KTRDR_DATABASE_PASSWORD")
