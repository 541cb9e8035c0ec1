from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain import changes, compose

FILE = "docker-compose.core.yml"


def container(**facts):
    plain = {
        "id": "1",
        "service": "web",
        "image_id": "sha256:new",
        "image": "r/web",
        "config_hash": "c",
        "status": "running",
        "health": "none",
        "restarts": 0,
        "exit_code": 0,
        "oom": False,
        "started": "",
    }
    return changes.Container(**{**plain, **facts})


RELEASED = compose.Service("web", "r/web:1", True, config_hash="c")
DATABASE = compose.Service("web", "postgres:17", False, config_hash="c")


@pytest.mark.parametrize(
    ("service", "running", "action", "why"),
    [
        (RELEASED, [], "create", "absent"),
        (RELEASED, [container()], "keep", ""),
        (RELEASED, [container(image_id="sha256:old")], "recreate", "image"),
        (RELEASED, [container(config_hash="d")], "recreate", "configuration"),
        (RELEASED, [container(config_hash="")], "recreate", "configuration"),
        (RELEASED, [container(status="exited")], "recreate", "exited"),
        (RELEASED, [container(status="paused")], "recreate", "paused"),
        (RELEASED, [container(), container(id="2")], "scale", "2 containers"),
        (DATABASE, [], "create", "absent"),
        (DATABASE, [container()], "keep", ""),
        (DATABASE, [container(image_id="sha256:other", config_hash="other")], "keep", "kept: image"),
        (DATABASE, [container(image_id="sha256:other", image="postgres:16@sha256:1")], "keep", "kept: image 16 -> 17"),
        (DATABASE, [container(image_id="sha256:other", image="r:5000/postgres")], "keep", "kept: image"),
        (DATABASE, [container(image_id="sha256:other", image="postgres:17@sha256:1")], "keep", "kept: image"),
        # It was built there.
        (DATABASE, [container(image_id="sha256:other", image="sha256:other")], "keep", "kept: image"),
        (DATABASE, [container(config_hash="other")], "keep", "kept: configuration"),
        (DATABASE, [container(config_hash="")], "keep", "kept: configuration"),
        (DATABASE, [container(status="exited")], "create", "exited"),
        (DATABASE, [container(status="exited", config_hash="other")], "create", "exited"),
        (DATABASE, [container(status="created", image_id="sha256:other")], "create", "created"),
    ],
)
def test_changes(service, running, action, why):
    known = {"r/web:1": "sha256:new", "postgres:17": "sha256:new"}
    assert changes.compare([service], known, running) == [changes.Change("web", action, why)]


@pytest.mark.parametrize("service", [RELEASED, DATABASE])
@pytest.mark.parametrize(
    ("former", "label", "same"), [("old", "old", True), ("old", "c", True), ("", "", True), ("old", "", False)]
)
def test_a_container_of_an_earlier_version_is_known_by_the_label_that_it_had(service, former, label, same):
    known = {"r/web:1": "sha256:new", "postgres:17": "sha256:new"}
    (change,) = changes.compare([replace(service, former=former)], known, [container(config_hash=label)])
    assert (change.action, change.why == "") == ("keep" if same or not service.released else "recreate", same)


class TestReplace:
    known = {"postgres:17": "sha256:new"}

    @pytest.mark.parametrize("replace", [("web",), ("*",), ("db", "web")])
    @pytest.mark.parametrize(
        ("running", "action", "why"),
        [
            (container(image_id="sha256:other", image="postgres:16"), "recreate", "image"),
            (container(config_hash="other"), "recreate", "configuration"),
            (container(), "keep", ""),
            # To be started it is all the same.
            (container(status="exited"), "create", "exited"),
        ],
    )
    def test_a_kept_service_is_restarted_where_it_differs_and_somebody_said_so(self, replace, running, action, why):
        assert changes.compare([DATABASE], self.known, [running], replace=replace) == [changes.Change("web", action, why)]

    def test_of_another_one_that_was_not_said(self):
        (change,) = changes.compare([DATABASE], self.known, [container(config_hash="other")], replace=("db",))
        assert (change.action, change.why) == ("keep", "kept: configuration")


class TestKeptByAnEarlierVersion:
    """Such a release recorded no image of it, and put no label on it."""

    service = replace(DATABASE, former="")

    @pytest.mark.parametrize("image", ["postgres:17", "postgres:17@sha256:1"])
    def test_it_is_what_its_reference_says(self, image):
        found = changes.compare([self.service], {}, [container(image=image, config_hash="")])
        assert found == [changes.Change("web", "keep", "")]

    def test_another_reference_is_another_image(self):
        found = changes.compare([self.service], {}, [container(image="postgres:16", config_hash="")])
        assert found == [changes.Change("web", "keep", "kept: image 16 -> 17")]

    def test_a_restart_that_was_asked_for_is_done_once(self):
        one = container(image="postgres:16", config_hash="")
        assert changes.compare([self.service], {}, [one], replace=("*",)) == [changes.Change("web", "recreate", "image")]
        again = replace(one, image="postgres:17")
        assert changes.compare([self.service], {}, [again], replace=("*",)) == [changes.Change("web", "keep", "")]


@pytest.mark.parametrize(
    ("facts", "replace", "action", "why"),
    [
        ({}, (), "keep", "kept: not proven: ports"),
        ({}, ("db",), "keep", "kept: not proven: ports"),
        ({}, ("web",), "recreate", "not proven"),
        ({}, ("*",), "recreate", "not proven"),
        # A release made it anew since.
        ({"config_hash": "c"}, (), "keep", ""),
        ({"config_hash": "c"}, ("web",), "keep", ""),
        # It differs anyway.
        ({"image_id": "sha256:old"}, (), "recreate", "image"),
        ({"status": "exited"}, (), "recreate", "exited"),
    ],
)
def test_what_is_not_proven_to_be_as_it_is_wanted_stays_until_it_is_asked_for(facts, replace, action, why):
    service = compose.Service("web", "r/web:1", True, config_hash="c", former="", unproven="ports")
    running = [container(**{"config_hash": "", **facts})]
    assert changes.compare([service], {"r/web:1": "sha256:new"}, running, replace=replace) == [changes.Change("web", action, why)]


def test_of_a_kept_service_too():
    service = compose.Service("web", "r/web:1", False, config_hash="c", kept="image", former="", unproven="ports")
    found = [
        changes.compare([service], {"r/web:1": "sha256:new"}, [container(config_hash="")], replace=names)[0].action
        for names in ((), ("web",))
    ]
    assert found == ["keep", "recreate"]


def test_several_that_are_not_proven_go_one_after_the_other():
    service = compose.Service("web", "r/web:1", True, config_hash="c", former="", unproven="ports", replicas=2)
    running = [container(config_hash=""), container(id="2", config_hash="")]
    (found,) = changes.compare([service], {"r/web:1": "sha256:new"}, running, replace=["web"])
    assert (found.action, found.wrong) == ("replace", ("1", "2"))


def test_an_image_that_is_not_known_here_is_never_kept():
    assert changes.compare([RELEASED], {}, [container()])[0].action == "recreate"


def test_what_is_no_longer_in_the_file_is_removed():
    found = changes.compare([RELEASED], {"r/web:1": "sha256:new"}, [container(service="z"), container(service="b"), container()])
    assert [(c.service, c.action) for c in found] == [("b", "remove"), ("z", "remove"), ("web", "keep")]


def bound(**spec):
    """vpn, and app that is bound to it."""
    document = {
        "services": {"app": {"image": "r/web:1", **spec}, "vpn": {"image": "r/web:1"}},
        "x-rollout": {"app": {}, "vpn": {}},
    }
    return compose.services(document, FILE)


BOUND = [
    {"network_mode": "service:vpn"},
    {"ipc": "service:vpn"},
    {"pid": "service:vpn"},
    {"depends_on": {"vpn": {"condition": "service_started", "restart": True}}},
]


@pytest.mark.parametrize("spec", BOUND)
@pytest.mark.parametrize(
    ("vpn", "action", "why"),
    [(container(), "keep", ""), (container(image_id="sha256:old"), "recreate", "with vpn"), (None, "recreate", "with vpn")],
)
def test_what_is_bound_to_another_one_goes_with_it(spec, vpn, action, why):
    wanted = [replace(s, config_hash="c") for s in bound(**spec)]
    assert [s.name for s in wanted] == ["vpn", "app"]
    assert wanted[1].bound == ("vpn",)
    running = [container(service="app", id="2"), *([replace(vpn, service="vpn")] if vpn else [])]
    found = changes.compare(wanted, {"r/web:1": "sha256:new"}, running)
    assert found[1] == changes.Change("app", action, why)
    assert changes.tiers(["vpn", "app"], {s.name: s.after for s in wanted}, lambda name: False) == [["vpn"], ["app"]]


@pytest.mark.parametrize("spec", [{}, {"network_mode": "host"}, {"depends_on": {"vpn": {"condition": "service_started"}}}])
def test_what_only_depends_on_another_one_stays(spec):
    wanted = [replace(s, config_hash="c") for s in bound(**spec)]
    found = changes.compare(wanted, {"r/web:1": "sha256:new"}, [container(service="app")])
    assert {change.service: change.action for change in found} == {"vpn": "create", "app": "keep"}


@pytest.mark.parametrize(("joins", "action"), [(("1",), "keep"), (("gone",), "recreate"), ((), "keep")])
def test_what_is_bound_to_a_container_that_is_gone_is_made_anew(joins, action):
    wanted = [replace(s, config_hash="c") for s in bound(network_mode="service:vpn")]
    running = [container(service="vpn"), container(service="app", id="2", joins=joins)]
    assert changes.compare(wanted, {"r/web:1": "sha256:new"}, running)[1].action == action


def test_container_of_inspect():
    found = changes.container(
        {
            "Id": "1",
            "Image": "sha256:i",
            "RestartCount": 2,
            "Config": {
                "Image": "r/web",
                "Labels": {"com.docker.compose.service": "web", compose.CONFIG_LABEL: "c"},
            },
            "State": {
                "Status": "exited",
                "Health": {"Status": "unhealthy"},
                "ExitCode": 137,
                "OOMKilled": True,
                "StartedAt": "2026-01-01T00:00:00Z",
                "Error": "e",
            },
        }
    )
    assert found == changes.Container(
        "1", "web", "sha256:i", "r/web", "c", "exited", "unhealthy", 2, 137, True, "2026-01-01T00:00:00Z", "e"
    )


@pytest.mark.parametrize(("said", "seconds"), [({}, 10), ({"StopTimeout": None}, 10), ({"StopTimeout": 300}, 300)])
def test_the_grace_period_of_a_container(said, seconds):
    inspected = {"Id": "c", "Image": "i", "State": {"Status": "running"}, "Config": {"Image": "x", **said}}
    assert changes.container(inspected).grace == seconds


def test_container_of_a_foreign_one():
    found = changes.container(
        {
            "Id": "1",
            "Image": "i",
            "Config": {"Image": "x", "Labels": None},
            "State": {"Status": "created", "Health": None},
        }
    )
    assert (found.service, found.config_hash, found.health, found.oom) == ("", "", "none", False)


IMAGES = {
    "r/web:sha-bbbbbbb": {"digest": "sha256:" + "b" * 64, "id": "sha256:2b"},
    "postgres:17": {"digest": "sha256:" + "d" * 64, "id": "sha256:d"},
}
BEFORE = {"r/web:sha-aaaaaaa": {"digest": "sha256:" + "a" * 64, "id": "sha256:1a"}}


def service(name, released=True, image="r/web:sha-bbbbbbb", config_hash="c"):
    return compose.Service(name, image, released, config_hash=config_hash)


def running_one(name, image_id="sha256:1a", config_hash="c", status="running"):
    return changes.Container("1", name, image_id, "r/web", config_hash, status, "healthy", 0, 0, False, "")


def rows(wanted, running, images=IMAGES, took=None):
    return changes.rows("core", wanted, running, images, BEFORE, took or {})


@pytest.mark.parametrize(
    ("wanted", "running", "action", "why", "old", "new"),
    [
        ([service("web")], [running_one("web")], "recreate", "image", "a", "b"),
        ([service("web")], [running_one("web", "sha256:2b")], "keep", "", None, "b"),
        ([service("web")], [running_one("web", "sha256:2b", "other")], "recreate", "configuration", None, "b"),
        ([service("web")], [], "create", "absent", None, "b"),
        ([], [running_one("web")], "remove", "no longer in the compose file", "a", None),
        ([service("db", False, "postgres:17")], [running_one("db", "sha256:9")], "keep", "kept: image", None, "d"),
        ([service("db", False, "postgres:17")], [running_one("db", "sha256:d", "x")], "keep", "kept: configuration", None, "d"),
        ([service("db", False, "postgres:17")], [running_one("db", "sha256:d")], "keep", "", None, "d"),
    ],
)
def test_rows(wanted, running, action, why, old, new):
    (row,) = rows(wanted, running)
    digests = [d and d.replace("sha256:", "")[:1] for d in (row["old"], row["new"])]
    assert (row["stack"], row["action"], row["why"], digests) == ("core", action, why, [old, new])


def test_how_often_a_releases_container_crashed():
    crashed = replace(running_one("web"), restarts=3)
    assert "restarts" not in rows([service("web")], [crashed])[0], "whose is it?"
    assert rows([service("web")], [replace(crashed, release="sha-a")])[0]["restarts"] == 3
    assert "restarts" not in rows([service("web")], [replace(running_one("web"), release="sha-a")])[0]


def test_an_image_that_is_not_here_yet_is_another_one():
    images = {"r/web:sha-bbbbbbb": {"digest": "sha256:" + "b" * 64}}
    assert rows([service("web")], [running_one("web", "")], images)[0]["action"] == "keep", "no id at all is no other id"
    assert rows([service("web")], [running_one("web")], images)[0]["action"] == "recreate"


@pytest.mark.parametrize(
    ("wanted", "running", "took", "gap"),
    [
        ([service("web")], [running_one("web")], {"web": [2.0, 9.0, 3.04]}, 3.0),
        ([service("web")], [running_one("web")], {"other": [2.0]}, None),
        ([service("web")], [], {"web": [2.0]}, None),
        ([service("web")], [running_one("web", "sha256:2b")], {"web": [2.0]}, None),
    ],
)
def test_the_gap_is_the_median_of_the_last_restarts(wanted, running, took, gap):
    assert rows(wanted, running, took=took)[0]["gap"] == gap
