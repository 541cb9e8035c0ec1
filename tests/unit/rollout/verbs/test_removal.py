"""An application that is taken away from a host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import wiping
from ansible.module_utils.rollout.verbs import guard, removal
from fake_engine import digest, image_id
from story import JOB, WEB, Host, held

NAMELESS = "ab" * 32
OWNER = {"user": "karl", "host": "laptop", "machine": "boot pid:[1]", "process": "1:1", "alive": ["1:1"]}


@pytest.fixture(autouse=True)
def no_units(monkeypatch, tmp_path):
    """A host without units of a guard; the folder in which they would be."""
    units = tmp_path / "units"
    units.mkdir()
    monkeypatch.setattr(wiping, "_UNITS", units)
    return units


def remove(host, delete="", check=False, application="app", projects=None, **more) -> dict[str, Any]:
    asked = removal.Asked(application, {"core": ""} if projects is None else projects, delete, more.pop("metrics", ""))
    done = removal.remove(host.store, host.engine, asked, "run-r", OWNER, 60.0, check)
    assert answers.taken("application", done, str) == done
    return done


def refused(host, **how):
    before, calls = listing(host), list(host.engine.touched)
    with pytest.raises(RolloutError) as error:
        remove(host, **how)
    assert (listing(host), host.engine.touched) == (before, calls)
    return str(error.value)


def listing(host):
    return (
        sorted(str(path.relative_to(host.store.root)) for path in host.store.root.rglob("*"))
        if host.store.root.exists()
        else None
    )


def labelled(kind, name, project="app-core", **labels):
    return {"Name": name, "Labels": {"com.docker.compose.project": project, f"com.docker.compose.{kind}": name, **labels}}


def volumes(host, *known):
    host.engine.said["/volumes"] = {"Volumes": list(known)}


def names(host):
    return {c["Name"][1:] for c in host.engine.made}


class TestWhole:
    def test_nothing_is_left_of_an_application_without_data(self, host):
        host.rollout("a")
        host.engine.said["/networks"] = [
            labelled("network", "app-core_default"),
            labelled("network", "x_default", "x"),
            {"Name": "bridge"},
        ]
        here = names(host)
        looked = remove(host, check=True)
        assert names(host) == here
        done = remove(host)
        assert looked == done
        assert done["changed"]
        assert set(done["gone"]["containers"]) == here
        assert done["gone"]["networks"] == ["app-core_default"]
        assert done["gone"]["state"] == [str(host.store.root)]
        assert {f"{WEB}:sha-aaaaaaa", f"{JOB}@{digest('a')}"} < set(done["gone"]["images"])
        assert (done["stays"], done["by_hand"]) == ({}, [])
        assert (host.engine.made, listing(host)) == ([], None)
        assert [call for call in host.engine.touched if call.startswith("network")] == ["network rm app-core_default"]
        assert not [image for image in host.engine.images if image.startswith((WEB, JOB))]

    def test_containers_are_stopped_before_they_are_removed(self, host):
        host.rollout("a")
        first = host.engine.made[0]["Id"]
        remove(host)
        calls = host.engine.touched
        assert calls.index(f"stop {first}") < calls.index(f"rm {first}")

    def test_again_there_is_nothing_to_do(self, host):
        host.rollout("a")
        remove(host)
        before = list(host.engine.touched)
        assert remove(host) == {
            **{"changed": False, "gone": {}, "stays": {}, "by_hand": []},
            "diff": {"before": "", "after": "", "before_header": "app", "after_header": "nothing"},
        }
        assert host.engine.touched == before
        assert listing(host) is None

    def test_what_is_shown_of_it(self, host):
        host.rollout("a")
        shown = remove(host, check=True)["diff"]["before"].splitlines()
        assert shown[0].startswith("container app-core-")
        assert f"state {host.store.root}" in shown

    def test_a_later_rollout_begins_anew(self, host):
        host.rollout("a")
        remove(host)
        assert host.rollout("b")["changed"]

    def test_its_stacks_with_projects_of_their_own(self, host):
        host.rollout("a", source={"project": "photos"})
        assert remove(host, projects={})["gone"]["containers"]
        assert host.engine.made == []

    def test_what_an_interrupted_first_rollout_left(self, host):
        host.bring(host.staged("a"), "run-a")
        remove(host)
        assert (host.engine.made, listing(host)) == ([], None)

    def test_where_the_state_was_lost(self, host):
        host.rollout("a")
        host.spoil("sha-aaaaaaa", "elsewhere")
        host.store.path.unlink()
        # A directory without a ledger is no application's; with one, what names it in its labels is its.
        host.store.path.touch()
        remove(host)
        assert host.engine.made == []

    def test_its_metrics(self, host, tmp_path):
        files = [tmp_path / "rollout_app.prom", tmp_path / "rollout_app.drill.prom"]
        for file in files:
            file.write_text("x")
        assert remove(host, metrics=str(tmp_path))["gone"] == {"metrics": [str(file) for file in files]}
        assert not any(file.exists() for file in files)

    def test_what_a_killed_rehearsal_left(self, host):
        host.rollout("a")
        labels = {"rollout.rehearsal": str(host.store.root)}
        host.engine.add("rollout-rehearsal", "web", {"image": "r/web:sha-aaaaaaa", "labels": labels})
        remove(host)
        assert host.engine.made == []


class TestData:
    def filled(self, host):
        host.rollout("a")
        for folder in ("data/core", "backups"):
            (host.store.root / folder).mkdir(parents=True)
            (host.store.root / folder / "x").write_text("data")
        volumes(
            host,
            labelled("volume", "app-core_db"),
            labelled("volume", "x_db", "x"),
            {"Name": NAMELESS, "Labels": None},
            {"Name": "mine"},
        )
        host.engine.made[0]["Mounts"] = [{"Type": "volume", "Name": NAMELESS}, {"Type": "volume", "Name": "mine"}]
        return {"volumes": [NAMELESS, "app-core_db"], "folders": [f"{host.store.root}/data", f"{host.store.root}/backups"]}

    def test_it_stays(self, host):
        data = self.filled(host)
        done = remove(host)
        assert done["stays"] == data
        assert not {"volumes", "folders"} & set(done["gone"])
        assert listing(host) == ["backups", "backups/x", "data", "data/core", "data/core/x", "removed.json"]
        assert not [call for call in host.engine.touched if call.startswith("volume")]
        assert not remove(host)["changed"]

    def test_it_goes_where_the_application_is_named(self, host):
        data = self.filled(host)
        looked = remove(host, delete="app", check=True)
        done = remove(host, delete="app")
        assert looked["gone"] == done["gone"]
        assert {kind: done["gone"][kind] for kind in data} == data
        assert done["stays"] == {}
        assert listing(host) is None
        assert [call for call in host.engine.touched if call.startswith("volume")] == [
            f"volume rm {NAMELESS}",
            "volume rm app-core_db",
        ]

    def test_or_later_when_its_containers_are_gone(self, host):
        data = self.filled(host)
        remove(host)
        done = remove(host, delete="app")
        assert {kind: done["gone"][kind] for kind in data} == data
        assert listing(host) is None

    def test_what_lies_elsewhere_is_named_and_never_removed(self, host, tmp_path):
        host.rollout("a")
        (tmp_path / "photos").mkdir()
        mounts = [
            (f"{tmp_path}/photos", True),
            ("/etc/localtime", True),
            ("/var/run/docker.sock", True),
            ("/srv/music", False),
            ("/", True),
        ]
        mounts.append((f"{host.store.root}/data/core/x", True))
        host.engine.made[0]["Mounts"] = [{"Type": "bind", "Source": source, "RW": writable} for source, writable in mounts]
        assert remove(host, delete="app")["stays"] == {"elsewhere": [f"{tmp_path}/photos"]}
        assert (tmp_path / "photos").exists()

    @pytest.mark.parametrize("given", ["true", "App", "app ", "photos", "app,other"])
    def test_the_name_is_typed_in_full(self, host, given):
        self.filled(host)
        assert refused(host, delete=given) == (
            f"delete_data is '{given}': expected app, the name of the application, typed in full. Nothing was removed."
        )

    def test_what_somebody_else_uses_by_now_stays(self, host):
        self.filled(host)
        remove(host)
        host.engine.images["postgres:17"] = image_id("d")
        host.engine.add("app-core", "db", {"image": "postgres:17"})
        host.engine.made[-1]["Mounts"] = [{"Type": "volume", "Name": "app-core_db"}]
        done = remove(host, delete="app")
        assert done["stays"] == {"perhaps": ["app-core_db"], "others": [f"{host.engine.made[-1]['Name'][1:]} (project app-core)"]}
        assert len(host.engine.made) == 1

    def test_a_volume_that_does_not_go_ends_the_step_and_the_next_one_goes_on(self, host):
        data = self.filled(host)
        host.engine.fail["volume rm app-core_db"] = "volume is in use"
        with pytest.raises(RolloutError, match=r"^Removing volume app-core_db failed: volume is in use"):
            remove(host, delete="app")
        assert host.store.lock() is None
        host.engine.fail.clear()
        assert {"volumes", "folders"} < set(remove(host, delete="app")["gone"])
        assert data
        assert listing(host) is None


class TestOthers:
    def test_what_runs_in_a_project_before_the_first_rollout_is_not_its_own(self, host):
        host.engine.images["r/web:old"] = image_id("e")
        host.engine.add("photos", "web", {"image": "r/web:old"})
        volumes(host, labelled("volume", "photos_db", "photos"))
        host.engine.said["/networks"] = [labelled("network", "photos_default", "photos")]
        done = remove(host, delete="app", projects={"core": "photos"})
        assert not done["changed"]
        assert done["stays"] == {"perhaps": ["photos_db"], "others": ["photos-web-1 (project photos)"]}
        assert host.engine.touched == []

    def test_what_was_taken_over_is(self, host):
        host.rollout("a")
        for one in host.engine.made:
            one["Config"]["Labels"] = {k: v for k, v in one["Config"]["Labels"].items() if "docker" in k and "working" not in k}
        remove(host)
        assert host.engine.made == []

    def test_another_application_keeps_what_it_has(self, host, tmp_path):
        other = Host(tmp_path / "other", "other", host.engine)
        other.rollout("a")
        host.rollout("a")
        host.rollout("b")
        theirs = [c for c in host.engine.made if c["Config"]["Labels"]["com.docker.compose.project"] == "other-core"]
        done = remove(host)
        assert host.engine.made == theirs
        assert f"{WEB}@{digest('b')}" in done["gone"]["images"]
        assert f"{WEB}@{digest('a')}" in host.engine.images
        assert other.bring("sha-aaaaaaa")["changed"] is False

    def test_its_images_stay_while_that_one_is_at_work(self, host, tmp_path):
        other = Host(tmp_path / "other", "other", host.engine)
        other.rollout("a")
        host.rollout("b")
        held(other.store, "run-x")
        assert "images" not in remove(host)["gone"]

    def test_an_image_that_no_registry_has_stays(self, host):
        host.rollout("a")
        file = host.store.directory("sha-aaaaaaa") / "release.json"
        said = json.loads(file.read_text())
        said["images"][f"{WEB}:sha-aaaaaaa"]["digest"] = ""
        file.write_text(json.dumps(said))
        assert not [name for name in remove(host)["gone"]["images"] if name.startswith(WEB)]

    def test_a_directory_that_is_another_applications(self, host):
        host.rollout("a")
        said = f"{host.store.root} (rollout_dir) holds the state of application app, not of photos. Nothing was removed."
        assert refused(host, application="photos") == said

    def test_files_that_nobody_knows(self, host):
        host.rollout("a")
        (host.store.root / "notes.txt").write_text("mine")
        done = remove(host)
        assert (done["by_hand"], done["stays"]) == ([], {"files": [f"{host.store.root}/notes.txt"]})
        assert listing(host) == ["notes.txt"]


class TestAtWork:
    def test_a_run_that_holds_the_lock(self, host):
        host.rollout("a")
        held(host.store, "run-x", user="eve", host="desk", machine="other", process="7:7")
        assert refused(host).startswith("Another run holds the lock: run run-x of eve@desk, since ")

    def test_one_that_died_on_this_machine_does_not_count(self, host):
        host.rollout("a")
        held(host.store, "run-x", machine=OWNER["machine"], process="7:7")
        remove(host)
        assert listing(host) is None

    def test_one_whose_controller_was_killed_leaves_the_rest_to_the_one_that_took_over(self, host):
        host.rollout("a")
        stop, first = host.engine.run, []

        def stopped(arguments, *more, **how):
            if arguments[0] == "rm" and not first:
                first.append(arguments[1])
                held(host.store, "run-s", action="remove")
            return stop(arguments, *more, **how)

        host.engine.run = stopped
        with pytest.raises(RolloutError, match="run-s"):
            remove(host)
        assert (len(host.engine.made), host.store.names(), host.store.lock()["run"]) == (2, ["sha-aaaaaaa"], "run-s")

    def test_an_armed_guard_is_told_that_nothing_is_armed(self, host, monkeypatch):
        host.rollout("a")
        name = host.staged("b")
        monkeypatch.setattr(guard, "alive", lambda store: True)
        guard.arm(host.store, "app", "run-b", name, 900.0)
        looks = iter([True, False])
        seen = []
        monkeypatch.setattr(guard, "alive", lambda store: seen.append(store.ledger().armed) or next(looks))
        monkeypatch.setattr(removal.clock, "sleep", lambda seconds: None)
        remove(host)
        assert seen == [None, None]
        assert listing(host) is None

    def test_one_that_does_not_end(self, host, monkeypatch, passing):
        host.rollout("a")
        monkeypatch.setattr(guard, "alive", lambda store: True)
        with pytest.raises(RolloutError) as error:
            remove(host)
        assert str(error.value) == (
            "The guard of this host is still at work 30 s after it was told that nothing is armed any more. Nothing was removed. Its log "
            f"says what it does: {host.store.root}/guard.log"
        )
        assert host.engine.made
        assert host.store.lock() is None

    def test_a_container_that_does_not_stop_and_the_next_try(self, host):
        host.rollout("a")
        (host.store.root / "data").mkdir()
        host.engine.fail["rm c2"] = "device or resource busy"
        with pytest.raises(RolloutError, match=r"^Removing app-core-\w+-2 failed: device or resource busy"):
            remove(host)
        assert host.store.lock() is None
        assert host.store.names() == ["sha-aaaaaaa"]
        host.engine.fail.clear()
        remove(host)
        assert (host.engine.made, listing(host)) == ([], None)


class TestRoot:
    def test_the_units_of_its_guard(self, host, no_units, monkeypatch):
        calls = []
        monkeypatch.setattr(wiping.subprocess, "run", lambda words, **_how: calls.append(" ".join(words)))
        monkeypatch.setattr(wiping.os, "geteuid", lambda: 0)
        for kind in ("path", "service"):
            (no_units / f"rollout-guard-app.{kind}").touch()
        (no_units / "rollout-guard-other.path").touch()
        assert remove(host)["gone"] == {"units": ["rollout-guard-app.path", "rollout-guard-app.service"]}
        assert [path.name for path in no_units.iterdir()] == ["rollout-guard-other.path"]
        assert calls == [
            "systemctl disable --now rollout-guard-app.path",
            "systemctl stop rollout-guard-app.service",
            "systemctl daemon-reload",
        ]

    def test_what_only_root_can_remove(self, host, no_units, monkeypatch):
        host.rollout("a")
        (no_units / "rollout-guard-app.path").touch()
        monkeypatch.setattr(wiping, "may_remove_units", lambda: False)
        monkeypatch.setattr(wiping, "remove_empty", lambda path: False)
        done = remove(host)
        assert done["by_hand"] == [
            f"sudo rm -r {host.store.root}",
            f"sudo systemctl disable --now rollout-guard-app.path && sudo rm {no_units}/rollout-guard-app.path",
        ]
        assert "units" not in done["gone"]

    def test_data_of_another_user(self, host, monkeypatch):
        host.rollout("a")
        folder = host.store.root / "data"
        folder.mkdir()
        (folder / "x").touch()

        def rmtree(path, onerror):
            onerror(None, str(path), None)

        monkeypatch.setattr(wiping.shutil, "rmtree", rmtree)
        done = remove(host, delete="app")
        assert f"sudo rm -r {folder}" in done["by_hand"]


def test_what_is_recorded_is_read_with_care(tmp_path):
    assert wiping.recorded(tmp_path) == []
    for text in ("", "[]", "{}", '{"volumes": 1}'):
        (tmp_path / "removed.json").write_text(text)
        assert wiping.recorded(tmp_path) == []
    wiping.record(tmp_path, ["a"])
    assert json.loads((tmp_path / "removed.json").read_text()) == {"volumes": ["a"]}
    assert wiping.recorded(tmp_path) == ["a"]
