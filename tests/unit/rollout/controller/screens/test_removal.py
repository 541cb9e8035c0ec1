from __future__ import annotations

from ansible.module_utils.rollout.controller.screens.removal import refused, screen

DONE = {
    "changed": True,
    "gone": {"containers": ["a-core-web-1", "a-core-db-1"], "networks": ["a-core_default"], "state": ["/var/lib/rollout/a"]},
    "stays": {},
    "by_hand": [],
}
DATA = {"volumes": ["a-core_db"], "folders": ["/var/lib/rollout/a/data"]}
LOST = {"unreachable": True, "msg": "Failed to connect to the host via ssh"}
LOCKED = {"failed": True, "msg": "Another run holds the lock: run x of eve@desk."}


def test_what_went():
    assert screen({"h1": DONE}, {"h1": DONE}, "a", False).splitlines() == [
        "h1: removed containers a-core-web-1, a-core-db-1",
        "h1: removed networks a-core_default",
        "h1: removed its state /var/lib/rollout/a",
    ]
    assert screen({"h1": DONE}, {"h1": DONE}, "a", True).startswith("h1: would remove containers a-core-web-1")


def test_what_stays_and_what_to_type():
    done = {
        "gone": {},
        "stays": {
            **DATA,
            "perhaps": ["a_x"],
            "others": ["web (project a)"],
            "files": ["/var/lib/rollout/a/notes"],
            "elsewhere": ["/srv/a"],
        },
        "by_hand": ["sudo rmdir /x"],
    }
    assert screen({"h1": DONE, "h2": done}, {"h2": done}, "a", False).splitlines()[3:] == [
        "h2: stays: volumes a-core_db",
        "h2: stays: folders /var/lib/rollout/a/data",
        "h2: stays: files /var/lib/rollout/a/notes",
        "h2: stays: /srv/a, to which it wrote. What lies outside the state directory is never removed",
        "h2: stays: volumes a_x, of which nobody knows whether they are its data (docker volume rm removes them)",
        "h2: stays: containers web (project a), which no rollout of the application made",
        "h2: needs root there: sudo rmdir /x",
        "",
        "Its data stays. To delete it too, for good: ansible-playbook playbooks/remove.yml -e delete_data=a",
    ]


def test_data_that_went_is_said():
    done = {
        **DONE,
        "gone": {**DATA, "metrics": ["/m/rollout_a.prom"], "units": ["u.path"], "images": ["r/web:v1", "r/web@sha256:1"]},
    }
    said = screen({"h1": done}, {"h1": done}, "a", False)
    assert [line.removeprefix("h1: removed ") for line in said.splitlines()] == [
        "images r/web:v1",
        "volumes a-core_db",
        "folders /var/lib/rollout/a/data",
        "its metrics /m/rollout_a.prom",
        "its guard's units u.path",
    ]


def test_an_image_without_a_tag_is_shown_by_its_digest():
    done = {"gone": {"images": ["r/web@sha256:1"]}, "stays": {}, "by_hand": []}
    assert screen({"h1": done}, {"h1": done}, "a", False) == "h1: removed images r/web@sha256:1"


def test_nothing():
    assert screen({"h1": {"gone": {}, "stays": {}, "by_hand": []}}, {}, "a", False) == "h1: nothing of it is there"


def test_where_one_host_refuses_nothing_was_removed():
    looks = {"h1": DONE, "h2": LOCKED, "h3": LOST}
    assert refused(looks) == ["h2"]
    assert screen(looks, {}, "a", False).splitlines() == [
        "h2: not removed: Another run holds the lock: run x of eve@desk.",
        "h3: not removed: Failed to connect to the host via ssh",
        "Nothing was removed on any host, because of h2.",
    ]


def test_a_host_that_is_lost_does_not_hold_the_others_up():
    looks = {"h1": DONE, "h2": LOST, "h3": DONE}
    assert refused(looks) == []
    broken = {"failed": True, "msg": "Removing web failed: busy"}
    said = screen(looks, {"h1": DONE, "h3": broken}, "a", False).splitlines()
    assert said[3:] == ["h2: not removed: Failed to connect to the host via ssh", "h3: not removed: Removing web failed: busy"]
    assert screen({"h1": {"unreachable": True}}, {}, "a", False) == "h1: not removed: it was not reached"
