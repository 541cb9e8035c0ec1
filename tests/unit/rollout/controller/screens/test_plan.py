from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.screens import plan


def found(to_pull=0, diff=(), **options):
    old, new = ("sha256:" + letter * 64 for letter in "ab")
    services = [
        {"stack": "core", "service": "web", "action": "recreate", "why": "image", "old": old, "new": new, "gap": 2.4},
        {"stack": "core", "service": "db", "action": "keep", "why": "", "old": None, "new": None, "gap": None},
    ]
    known = {"action": "rollout", "run": "r1", "release": "sha-bbbbbbb", "stable": "sha-aaaaaaa"}
    return {"preview": {"services": services, "to_pull": to_pull, "free": 10 * 10**9, **known, **options}, "diff": list(diff)}


DIFF = {"before_header": "a/.env", "after_header": "b/.env", "before": "A=1\nB=2\n", "after": "A=1\nB=3\nC=4\n"}


def test_the_first_lines_of_a_run():
    said = plan.screen({"h1": found(2 * 10**9, [DIFF])}, False)
    assert said == (
        "ROLLOUT sha-bbbbbbb, run r1\n"
        "h1: sha-aaaaaaa -> sha-bbbbbbb; 2.0 GB to pull, 2.0 GB free afterwards; 2 lines of its files differ (--check --diff shows)\n"
        "\n"
        "  SERVICE  CHANGE   DIGEST              GAP\n"
        "h1\n"
        "  web      restart  aaaaaaa -> bbbbbbb  ~2.4 s\n"
        "  db       stays\n"
    )


def test_a_service_with_another_number_of_containers():
    host = found()
    host["preview"]["services"][0].update(action="scale", why="2 containers instead of 3", gap=None)
    assert "  web      scale (2 containers instead of 3)  aaaaaaa\n" in plan.screen({"h1": host}, False)


@pytest.mark.parametrize(
    ("tag", "said"), [("latest", "sha-bbbbbbb (tag latest),"), ("sha-bbbbbbb1", "sha-bbbbbbb,"), ("", "sha-bbbbbbb,")]
)
def test_a_release_that_another_tag_stands_for(tag, said):
    assert plan.screen({"h1": found()}, False, tag).startswith(f"ROLLOUT {said} run r1\n")


def test_the_differences_themselves():
    said = plan.screen({"h1": found(diff=[DIFF])}, True)
    assert "nothing to pull; 2 lines of its files differ\n" in said
    assert said.endswith("\n\n  --- h1 a/.env\n  +++ h1 b/.env\n  @@ -1,2 +1,3 @@\n   A=1\n  -B=2\n  +B=3\n  +C=4\n")


@pytest.mark.parametrize(
    ("host", "part"),
    [
        (found(stable="", diff=[DIFF]), "h1: nothing -> sha-bbbbbbb; nothing to pull\n"),
        (found(stable="sha-bbbbbbb"), "h1: sha-bbbbbbb again; nothing to pull\n"),
        (found(5 * 10**9), "5.0 GB to pull, 0 B free afterwards"),
        (found(1000, free=None), "1.0 kB to pull\n"),
        (found(diff=[{"before": "A", "after": "A"}]), "nothing to pull\n"),
        (found(diff=[{"before": "A", "after": "B"}]), "1 line of its files differs"),
        (
            found(left={"extra": "app-extra"}),
            "h1: stack extra is still running, but the inventory no longer assigns it to this host. To remove it (volumes are kept), run "
            "there: docker compose --project-name app-extra down\n",
        ),
        (
            found(
                **{"action": "rollback", "stable": "sha-bbbbbbb", "name": "sha-bbbbbbb", "stable_name": "sha-bbbbbbb.2"},
                variants={"sha-bbbbbbb": "1 of 2, 2026-11-30 20:21", "sha-bbbbbbb.2": "2 of 2, another PW"},
            ),
            "h1: sha-bbbbbbb (2 of 2, another PW) -> sha-bbbbbbb (1 of 2, 2026-11-30 20:21); nothing to pull\n",
        ),
        (found(action="rollback", variables=["PORT", "PW"]), "h1: other than now: PORT, PW\n"),
        (found(stable="sha-bbbbbbb", variables=["PW"]), "h1: other than now: PW\n"),
        (found(variables=["PW"]), "nothing to pull\n\n"),
        (found(action="rollback"), "ROLLBACK sha-bbbbbbb, run r1\n"),
    ],
)
def test_what_is_said_of_a_host(host, part):
    assert part in plan.screen({"h1": host}, False)


def test_what_an_operator_should_know_the_first_time():
    notes = ["db is kept (postgres:17 is a database or a broker).", "./data is data: it lies in /srv/data/core."]
    said = plan.screen({"h1": found(notes=notes), "h2": found()}, False)
    assert "nothing to pull\nh1: db is kept (postgres:17 is a database or a broker).\nh1: ./data is data: it lies in" in said
    assert "h2: db" not in said


def test_what_differs_of_a_kept_service_is_shown():
    host = found()
    host["preview"]["services"][1]["why"] = "kept: image 16 -> 17"
    assert "  db       stays (kept: image 16 -> 17)\n" in plan.screen({"h1": host}, False)


@pytest.mark.parametrize(
    ("why", "shown"), [("image", "restart "), ("absent", "restart "), ("network back", "restart (network back) ")]
)
def test_why_a_service_is_restarted(why, shown):
    host = found()
    host["preview"]["services"][0]["why"] = why
    assert f"  web      {shown}" in plan.screen({"h1": host}, False)


MIGRATE = {"stack": "core", "job": "migrate", "when": "before", "compatible": False, "deadline": 600.0, "why": ""}
QUIET = [{"stack": "core", "service": "web"}, {"stack": "core", "service": "api"}]
SAVED = {"stack": "core", "service": "db", "when": "job", "bytes": 1_200_000_000}


def leaves(hosts):
    """The lines between the hosts and the table."""
    return plan.screen(hosts, False).partition("\n\n")[0].splitlines()[1 + len(hosts) :]


def test_what_happens_before_the_switch():
    seed = {**MIGRATE, "job": "seed", "why": "other services wait until it has ended", "took": 3.0}
    warm = {**MIGRATE, "job": "warm", "when": "after", "compatible": True, "took": 61.0}
    one = found(jobs=[MIGRATE, seed, warm], quiet=QUIET, backups=[SAVED, {**SAVED, "service": "cache", "bytes": None}])
    assert leaves({"h1": one, "h2": found()}) == [
        "h1: web and api stop before migrate and seed, until the switch; the jobs may take up to 1200 s",
        "h1: db is backed up before migrate and seed (about 1.2 GB)",
        "h1: cache is backed up before migrate and seed",
        "h1: migrate runs before anything is switched",
        "h1: seed runs before anything is switched (3 s last time); it is taken for a job, because other services wait until it has "
        "ended (job: false says that it is none)",
        "h1: warm runs once everything is switched (61 s last time)",
        "h2: what may write stops before migrate and seed, until the switch",
    ]


def test_how_long_it_was_last_time():
    one = found(jobs=[{**MIGRATE, "took": 12.4}], quiet=QUIET[:1], backups=[SAVED])
    assert leaves({"h1": one})[0] == "h1: web stops before migrate, until the switch; the jobs took 12 s last time"


def test_a_job_that_somebody_says_is_done():
    assert leaves({"h1": found(jobs=[{**MIGRATE, "compatible": True, "done": True}])}) == [
        "h1: migrate counts as done, and does not run"
    ]


def test_data_that_nothing_backs_up():
    assert leaves({"h1": found(jobs=[MIGRATE])}) == [
        "h1: migrate runs before anything is switched",
        "migrate may change data that nothing backs up: no kept service has the key backup. If it fails, the data stays as it left "
        "it.",
    ]
    assert leaves({"h1": found(jobs=[{**MIGRATE, "compatible": True}])}) == ["h1: migrate runs before anything is switched"]


def test_what_is_backed_up_each_time():
    always = {**SAVED, "when": "always"}
    assert leaves({"h1": found(backups=[SAVED, always], settled=False)}) == [
        "h1: db is backed up before the switch (about 1.2 GB)"
    ]
    assert leaves({"h1": found(backups=[always], settled=True)}) == []
