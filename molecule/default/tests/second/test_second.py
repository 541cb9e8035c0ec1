"""After a second release was rolled out over the first."""


def test_second_release_runs(runs, health, database_untouched):
    runs("sha-bbbbbb2")
    assert health["release"] == "sha-bbbbbb2"
    database_untouched()


def test_first_release_is_kept_for_a_rollback(host):
    tags = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}'")
    for image in ("ktrdr-backend", "ktrdr-worker-cpu", "ktrdr-worker-gpu"):
        assert f"172.17.0.1:5000/{image}:sha-aaaaaa1" in tags
