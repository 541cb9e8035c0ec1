"""Drills on a fake engine: what proves that a rollback would work, what is in its way, and that nothing that runs is touched."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import http, machine
from ansible.module_utils.rollout.verbs import backups, drill, settle, stage
from story import failure, order

URL = "http://127.0.0.1:8000/health"
OWN = {"dump": ["app", "save"], "restore": ["app", "load"], "verify": ["app", "check"]}


def text_of(letter, backup=OWN, rehearse=True, job=False):
    release = "sha-" + letter * 7
    web = {"image": f"r/web:{release}", "ports": [{"published": "8000", "target": 80}]}
    database = {"image": "postgres:17", "volumes": [{"type": "volume", "source": "rows", "target": "/rows"}]}
    services = {"web": web, "db": database}
    keys = {
        "web": {"successes": 1, "window": 0, "deadline": 5, "health": [URL], "rehearse": rehearse},
        "db": {"keep": True, **({"backup": backup} if backup else {})},
    }
    if job:
        services["migrate"] = {"image": f"r/job:{release}"}
        keys["migrate"] = {"job": "before"}
    return json.dumps({"services": services, "x-rollout": keys})


@pytest.fixture
def sick(monkeypatch):
    """The releases whose health is wrong where they are tried."""
    found = set()

    def ask(url, **how):
        return Answer(url, 503 if how.get("addresses") and found else 200)

    monkeypatch.setattr(http, "ask", ask)
    return found


@pytest.fixture
def two(host, sick, passing):
    """A host with two stable releases, and a backup."""
    host.engine.said["/networks"] = [{"Name": "app-core_default"}]
    for letter in "ab":
        host.rollout(letter, text=text_of(letter))
    one = host.deployment("sha-bbbbbbb")
    backups.take(one, one.by_name["db"], "by hand")
    host.engine.calls, host.engine.tried, host.engine.fed = [], [], []
    return host


def asked(**facts):
    return drill.Asked(**{"application": "app", "run": "run-d", "name": "sha-aaaaaaa", "stacks": ("core",), **facts})


def drilled(host, check=False, **facts):
    return drill.drill(host.store, host.engine, asked(**facts), check)


def rows(found):
    return [(row["what"], row["service"], row["state"]) for row in found["rows"]]


def of(found, what):
    return next(row for row in found["rows"] if row["what"] == what)


def untouched(host, before):
    return [c["Id"] for c in host.engine.made] == before and not {"up", "stop", "start"} & {
        c.split()[0] for c in host.engine.calls
    }


def test_a_rollback_that_would_work(two):
    before, ledger = [c["Id"] for c in two.engine.made], two.events()
    found = drilled(two)
    assert (found["changed"], found["release"]) == (False, "sha-aaaaaaa")
    assert rows(found) == [("release", "", "proven"), ("rehearsal", "web", "proven"), ("backup", "db", "proven")]
    assert of(found, "release")["found"] == "files whole, 2 images here"
    assert " is whole (" in of(found, "backup")["found"]
    (tried,) = two.engine.tried
    assert tried["services"]["web"]["image"].endswith("a" * 64), "of the release before"
    assert untouched(two, before)
    assert two.events() == ledger


def test_a_check_starts_and_pulls_nothing(two):
    two.engine.images = {name: one for name, one in two.engine.images.items() if "web" not in name or one[-1] != "a"}
    found = drilled(two, check=True, restore=True)
    assert rows(found) == [
        ("release", "", "proven"),
        ("rehearsal", "web", "untried"),
        ("backup", "db", "proven"),
        ("restore", "db", "untried"),
    ]
    assert of(found, "release")["found"] == "files whole; of 2 images some would be pulled"
    assert two.engine.tried == []
    assert not any(call.startswith(("pull", "run")) for call in two.engine.calls)


def test_an_image_that_is_gone_is_pulled(two):
    two.engine.images = {name: one for name, one in two.engine.images.items() if "web" not in name or one[-1] != "a"}
    assert rows(drilled(two))[0] == ("release", "", "proven")
    assert any(call.startswith("pull r/web@") for call in two.engine.calls)


def test_an_image_that_is_nowhere_is_in_the_way(two):
    two.engine.images = {name: one for name, one in two.engine.images.items() if "web" not in name or one[-1] != "a"}
    two.engine.fail["pull"] = "manifest unknown"
    found = drilled(two)
    assert rows(found) == [("release", "", "failed"), ("backup", "db", "proven")]
    assert "image r/web:sha-aaaaaaa is no longer on this host" in of(found, "release")["found"]


@pytest.mark.parametrize("how", ["edited", "gone"])
def test_files_that_are_not_whole_are_in_the_way(two, how):
    two.spoil("sha-aaaaaaa", how)
    found = drilled(two)
    assert rows(found)[0] == ("release", "", "failed")
    assert "was edited by hand" in of(found, "release")["found"]


def test_a_release_that_does_not_start_any_more_is_in_the_way(two, sick):
    before = [c["Id"] for c in two.engine.made]
    sick.add("a")
    found = drilled(two)
    assert rows(found)[1] == ("rehearsal", "web", "failed")
    row = of(found, "rehearsal")
    assert row["found"].startswith("Service web (stack core) does not pass its rehearsal on sha-aaaaaaa: after 5 s")
    assert row["log"] == "the last line"
    assert untouched(two, before)


def test_services_that_are_not_rehearsed_have_no_row(host, sick):
    for letter in "ab":
        host.rollout(letter, text=text_of(letter, backup=None, rehearse=False))
    assert rows(drilled(host)) == [("release", "", "proven")]


def test_a_backup_that_was_changed_is_in_the_way(two):
    (file,) = (two.store.root / "backups").iterdir()
    file.write_bytes(b"rowz")
    found = drilled(two)
    assert rows(found)[-1] == ("backup", "db", "failed")
    assert "its SHA-256 differs" in of(found, "backup")["found"]


def test_a_service_that_was_never_backed_up_is_in_the_way(host, sick):
    for letter in "ab":
        host.rollout(letter, text=text_of(letter, rehearse=False))
    assert of(drilled(host), "backup")["found"] == (
        "Service db (stack core) was never backed up here, or its backups are gone. Take one: ansible-playbook playbooks/backup.yml"
    )


def test_a_backup_is_restored_into_a_container_of_its_own(two):
    before = [c["Id"] for c in two.engine.made]
    found = drilled(two, restore=True)
    assert rows(found)[-1] == ("restore", "db", "proven")
    tried = two.engine.tried[-1]["services"]["db"]
    assert (tried["network_mode"], tried["volumes"]) == ("none", [{"type": "volume", "target": "/rows"}])
    assert two.engine.fed == [("check", b"rows"), ("load", b"rows")]
    assert untouched(two, before)
    # Not into the one that runs.
    running = two.engine.running()["db"]
    assert not any(f"{running} app load" in call for call in two.engine.calls)


def test_a_backup_that_cannot_be_restored_is_in_the_way(two):
    before = [c["Id"] for c in two.engine.made]
    number = two.engine.count + 2
    two.engine.fail[f"exec --interactive c{number} app load"] = "relation exists"
    found = drilled(two, restore=True)
    assert rows(found)[-1] == ("restore", "db", "failed")
    said = of(found, "restore")["found"]
    assert "of service db (stack core) cannot be restored: status 1 (relation exists). It was tried in a container of its" in said
    assert untouched(two, before)


def test_a_database_that_does_not_start_with_empty_data_is_in_the_way(two):
    two.engine.broken["run db"] = {"Status": "exited", "ExitCode": 1}
    found = drilled(two, restore=True)
    assert rows(found)[-1] == ("restore", "db", "failed")
    assert "does not answer in a container of its own" in of(found, "restore")["found"]


def test_a_restore_that_would_fill_the_disk_is_not_tried(two, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda path: 2**20)
    monkeypatch.setattr(drill.restage, "restage", lambda *_, **_limits: {"changed": False})
    found = drilled(two, restore=True)
    assert (
        "was not restored, for there is too little room: about 134.2 MB are needed in /, and 1.0 MB are free."
        in of(found, "restore")["found"]
    )
    assert [name for one in two.engine.tried for name in one["services"]] == ["web"]


def test_a_rollback_behind_a_job_needs_the_backup_from_before_it(two):
    # Release c has a job that is not compatible, before which the data was saved.
    kept = two.store.ledger().data[-1]["backup"]
    name = two.staged("c", text=text_of("c", job=True))
    facts = {"name": name, "release": name, "stack": "core", "job": "migrate", "key": "k"}
    two.store.append("job", "run-c", **facts, compatible=False)
    two.store.append("ran", "run-c", **facts, code=0, seconds=1)
    two.bring(name, "run-c")
    settle.confirm(two.store, two.engine, name, "run-c", "rollout", 5, False)
    one = two.deployment(name)
    newest = backups.take(one, one.by_name["db"], "by hand")["backup"]
    found = drilled(two, name="sha-bbbbbbb")
    assert of(found, "rehearsal")["found"] == (
        "a rollback to sha-bbbbbbb goes back behind job migrate: its code does not know the data as it is now"
    )
    assert of(found, "rehearsal")["state"] == "untried"
    proven = [row["found"].split()[0] for row in found["rows"] if row["what"] == "backup"]
    assert proven == [newest, kept]
    two.store.append("dropped", "run-c", backup=kept)
    last = drilled(two, name="sha-bbbbbbb")["rows"][-2:]
    assert {"failed", "proven"} == {row["state"] for row in last}
    assert any(row["found"].startswith("A rollback to sha-bbbbbbb needs older data of service db (stack core)") for row in last)


def test_nothing_is_proven_while_a_run_has_not_come_to_its_end(two):
    name = stage.stage(two.store, two.engine, order("c", text_of("c")), False)["name"]
    two.deployment(name, "run-c").record("switching", "web")
    said, _facts = failure(drilled, two)
    assert said == (
        "Run run-c did not come to its end on this host, so nothing can be proven about a rollback. Roll out or roll back first."
    )


def test_an_engine_that_is_away_proves_nothing(two):
    two.engine.fail["run web"] = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
    with pytest.raises(RolloutError) as error:
        drilled(two)
    assert error.value.facts.get("away")
