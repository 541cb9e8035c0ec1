from __future__ import annotations

import pytest
from ansible.module_utils.rollout import preview
from ansible.module_utils.rollout.compose import Container, Service

IMAGES = {"r/web": {"digest": "sha256:" + "b" * 64, "id": "sha256:2b"}}
BEFORE = {"r/web": {"digest": "sha256:" + "a" * 64, "id": "sha256:1a"}}


def service(name, released=True, image="r/web:sha-bbbbbbb", config_hash="c"):
    return Service(name, image, released, config_hash=config_hash)


def container(name, image_id="sha256:1a", config_hash="c", status="running"):
    return Container("1", name, image_id, "r/web", config_hash, status, "healthy", 0, 0, False, "")


def rows(wanted, running, images=IMAGES, took=None):
    return preview.rows("core", wanted, running, images, BEFORE, took or {})


@pytest.mark.parametrize(
    ("wanted", "running", "action", "why", "old", "new"),
    [
        ([service("web")], [container("web")], "recreate", "image", "a", "b"),
        ([service("web")], [container("web", "sha256:2b")], "keep", "", None, "b"),
        ([service("web")], [container("web", "sha256:2b", "other")], "recreate", "configuration", None, "b"),
        ([service("web")], [], "create", "absent", None, "b"),
        ([], [container("web")], "remove", "no longer in the compose file", "a", None),
        ([service("db", False, "postgres:17")], [container("db", "sha256:9")], "keep", "", None, None),
    ],
)
def test_rows(wanted, running, action, why, old, new):
    (row,) = rows(wanted, running)
    digests = [d and d.replace("sha256:", "")[:1] for d in (row["old"], row["new"])]
    assert (row["stack"], row["action"], row["why"], digests) == ("core", action, why, [old, new])


def test_an_image_that_is_not_here_yet_is_another_one():
    images = {"r/web": {"digest": "sha256:" + "b" * 64}}
    assert rows([service("web")], [container("web", "")], images)[0]["action"] == "keep", "no id at all is no other id"
    assert rows([service("web")], [container("web")], images)[0]["action"] == "recreate"


@pytest.mark.parametrize(
    ("wanted", "running", "took", "gap"),
    [
        ([service("web")], [container("web")], {"web": [2.0, 9.0, 3.04]}, 3.0),
        ([service("web")], [container("web")], {"other": [2.0]}, None),
        ([service("web")], [], {"web": [2.0]}, None),
        ([service("web")], [container("web", "sha256:2b")], {"web": [2.0]}, None),
    ],
)
def test_the_gap_is_the_median_of_the_last_restarts(wanted, running, took, gap):
    assert rows(wanted, running, took=took)[0]["gap"] == gap


def found(to_pull=0, diff=(), **options):
    wanted = [service("web"), service("db", False, "postgres:17")]
    services = rows(wanted, [container("web"), container("db", "sha256:9")], took={"web": [2.44]})
    known = {"action": "rollout", "run": "r1", "release": "sha-bbbbbbb", "stable": "sha-aaaaaaa"}
    return {"preview": {"services": services, "to_pull": to_pull, "free": 10 * 10**9, **known, **options}, "diff": list(diff)}


DIFF = {"before_header": "a/.env", "after_header": "b/.env", "before": "A=1\nB=2\n", "after": "A=1\nB=3\nC=4\n"}


def test_the_first_lines_of_a_run():
    said = preview.screen({"h1": found(2 * 10**9, [DIFF])}, False)
    assert said == (
        "ROLLOUT sha-bbbbbbb, run r1\n"
        "h1: sha-aaaaaaa -> sha-bbbbbbb; 2.0 GB to pull, 2.0 GB free afterwards; 2 lines of its files differ (--check --diff shows)\n"
        "\n"
        "  SERVICE  CHANGE   DIGEST              GAP\n"
        "h1\n"
        "  web      restart  aaaaaaa -> bbbbbbb  ~2.4 s\n"
        "  db       stays\n"
    )


@pytest.mark.parametrize(
    ("tag", "said"), [("latest", "sha-bbbbbbb (tag latest),"), ("sha-bbbbbbb1", "sha-bbbbbbb,"), ("", "sha-bbbbbbb,")]
)
def test_a_release_that_another_tag_stands_for(tag, said):
    assert preview.screen({"h1": found()}, False, tag).startswith(f"ROLLOUT {said} run r1\n")


def test_the_differences_themselves():
    said = preview.screen({"h1": found(diff=[DIFF])}, True)
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
        (found(action="rollback"), "ROLLBACK sha-bbbbbbb, run r1\n"),
    ],
)
def test_what_is_said_of_a_host(host, part):
    assert part in preview.screen({"h1": host}, False)
