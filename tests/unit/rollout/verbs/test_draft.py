"""Stacks as they are staged: the files that they mount, what is kept, and images of every kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.verbs import observe, restage, settle, stage
from fake_engine import digest, image_id
from story import FILE, actions, order, source
from story import stack as text_of


def put(host, asked, check=False):
    return stage.stage(host.store, host.engine, asked, check)


def refused(host, asked, check=False):
    with pytest.raises(RolloutError) as error:
        put(host, asked, check)
    return str(error.value)


def source_of(letter="a", conf=b"x", extra=None, **facts):
    """A stack in which web and job mount files of the release, and db has data."""
    document = json.loads(text_of(f"sha-{letter * 7}"))
    mount = {"type": "bind", "read_only": True}
    document["services"]["web"]["volumes"] = [{**mount, "source": "./conf/a.conf", "target": "/a.conf"}]
    document["services"]["job"]["volumes"] = [{**mount, "source": "./dash", "target": "/dash"}]
    document["services"]["db"]["volumes"] = [{"type": "bind", "source": "./pgdata", "target": "/var/lib/postgresql/data"}]
    document["services"]["web"]["configs"] = [{"source": "c", "target": "/c"}]
    document["configs"] = {"c": {"file": "./c.conf"}}
    files = {
        "docker-compose.core.yml": File(json.dumps(document).encode()),
        "conf/a.conf": File(conf),
        "dash/one.json": File(b"{}"),
        "dash/run.sh": File(b"", "0755"),
        "c.conf": File(b"c"),
        **(extra or {}),
    }
    return Bundle(files, ("docker-compose.core.yml",), secrets={"PW": "canary"}, paths=("conf/a.conf", "dash", "c.conf"), **facts)


def with_source(letter="a", **facts):
    one = order(letter)
    return replace(one, stacks={"core": source_of(letter, **facts)})


class TestMounts:
    def test_what_the_services_mount_lies_by_its_content_and_data_where_it_outlives_the_release(self, host):
        name = put(host, with_source())["name"]
        part = host.store.manifest(name)["parts"]["core"]
        assert set(part["mounts"]) == {"conf/a.conf", "dash", "c.conf"}
        for path, place in part["mounts"].items():
            assert host.store.content.read(place) == source_of().below(path)
        host.bring(name, "run-a")
        specs = json.loads(host.store.read(name, "core/rollout.pins.json"))
        root = host.store.root
        assert [v["source"] for v in specs["services"]["web"]["volumes"]] == [f"{root}/files/{part['mounts']['conf/a.conf']}"]
        assert [v["source"] for v in specs["services"]["db"]["volumes"]] == [f"{root}/data/core/pgdata"]
        assert specs["configs"] == {"c": {"file": f"{root}/files/{part['mounts']['c.conf']}"}}
        assert set(host.store.manifest(name)["files"]) == {FILE, "core/.env", "core/rollout.pins.json"}

    def test_the_data_of_a_stack_may_lie_elsewhere(self, host):
        name = put(host, with_source(data="/srv/app"))["name"]
        specs = json.loads(host.store.read(name, "core/rollout.pins.json"))["services"]
        assert [v["source"] for v in specs["db"]["volumes"]] == ["/srv/app/pgdata"]

    @pytest.mark.parametrize(
        ("facts", "restarted"),
        [
            ({}, set()),
            ({"conf": b"y"}, {"web"}),
            ({"extra": {"dash/one.json": File(b"[]")}}, {"job"}),
            ({"extra": {"dash/two.json": File(b"{}")}}, {"job"}),
            ({"extra": {"dash/run.sh": File(b"", "0644")}}, {"job"}),
            ({"extra": {"c.conf": File(b"d")}}, {"web"}),
            # What nobody mounts restarts nobody.
            ({"extra": {"README": File(b"x")}}, set()),
        ],
    )
    def test_a_file_that_changes_restarts_the_services_that_use_it_and_only_these(self, host, facts, restarted):
        name = put(host, with_source())["name"]
        host.bring(name, "run-a")
        settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
        other = put(host, with_source(**facts))["name"]
        assert (other == name) is (not facts)
        done = host.bring(other, "run-a")
        assert {name for name, action in actions(done).items() if action == "recreate"} == restarted
        assert {s["why"] for s in done["services"] if s["action"] == "recreate"} == ({"configuration"} if restarted else set())

    def test_a_rollback_brings_the_old_content(self, host):
        first = put(host, with_source())["name"]
        host.bring(first, "run-a")
        settle.confirm(host.store, host.engine, first, "run-a", "rollout", 5, False)
        place = mounted_by(host, "web")
        second = put(host, with_source(conf=b"y"))["name"]
        host.bring(second, "run-a")
        settle.confirm(host.store, host.engine, second, "run-a", "rollout", 5, False)
        assert (Path(place).read_bytes(), Path(mounted_by(host, "web")).read_bytes()) == (b"x", b"y")
        restage.restage(host.store, host.engine, first, False)
        done = host.bring(first, "back")
        assert actions(done) == {"db": "keep", "web": "recreate", "job": "keep"}
        assert mounted_by(host, "web") == place

    def test_text_is_in_the_diff_and_what_is_private_is_not(self, host):
        host.rollout("a", stacks={"core": text_of("sha-aaaaaaa")})
        more = {"dash/one.json": File(b"\0"), "dash/key": File(b"canary-key", "0600")}
        diff = {part["after_header"].partition("/")[2]: part for part in put(host, with_source("b", extra=more), True)["diff"]}
        assert diff["core/conf/a.conf"]["after"] == "x"
        assert "core/dash/one.json" not in diff
        assert "canary" not in json.dumps([*diff.values()])

    @pytest.mark.parametrize("how", ["edited", "gone"])
    def test_one_that_was_edited_bars_the_way_and_is_written_anew_by_its_release(self, host, how):
        asked = with_source()
        name = put(host, asked)["name"]
        host.bring(name, "run-a")
        settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
        there = Path(mounted_by(host, "web"))
        there.write_text("edited") if how == "edited" else there.unlink()
        assert "core/conf/a.conf in " in refused(host, with_source("b"))
        with pytest.raises(RolloutError, match=r"was edited by hand \(core/conf/a\.conf in"):
            restage.restage(host.store, host.engine, name, False)
        (row,) = [r for r in observe.services(host.store, host.engine, "app", ["core"]) if r["service"] == "web"]
        assert "core/conf/a.conf was edited by hand" in row["drift"]
        again = put(host, asked, True)
        assert (again["changed"], again["ready"]) == (True, False)
        assert put(host, asked)["name"] == name
        assert there.read_bytes() == b"x"
        assert put(host, with_source("b"))["name"] == "sha-bbbbbbb"


def mounted_by(host, service):
    """What the container of a service mounts first."""
    project = host.deployment(
        host.store.ledger().open[-1]["name"] if host.store.ledger().open else host.store.ledger().stable.name
    )
    return project.compose_project.config()["services"][service]["volumes"][0]["source"]


class TestBuiltHere:
    """An image that no registry knows."""

    text = json.dumps({"services": {"web": {"image": "mine:dev"}}})

    def test_it_is_pinned_by_its_id(self, host):
        host.engine.images["mine:dev"] = image_id("1")
        name = put(host, order("a", self.text, images={}))["name"]
        assert host.store.manifest(name)["images"] == {"mine:dev": {"digest": "", "id": image_id("1")}}
        assert json.loads(host.store.read(name, "core/rollout.pins.json"))["services"]["web"]["image"] == image_id("1")
        assert actions(host.bring(name, "run-a")) == {"web": "create"}
        settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
        assert not host.look(name)["changed"]
        assert observe.gone(host.store, host.engine) == []
        assert [call for call in host.engine.calls if call.startswith("pull")] == []

    def test_the_stable_release_keeps_its_image_though_the_tag_is_another_one_by_now(self, host):
        host.engine.images["mine:dev"] = image_id("1")
        asked = order("a", self.text, images={})
        name = put(host, asked)["name"]
        host.bring(name, "run-a")
        settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
        host.engine.images.update({"mine:dev": image_id("2"), "old": image_id("1")})
        assert put(host, asked)["name"] == name
        # The operator says that the newest is meant.
        fresh = put(host, replace(asked, images={"mine:dev": {"digest": digest("3"), "now": True}}))["name"]
        assert host.store.manifest(fresh)["images"]["mine:dev"]["digest"] == digest("3")

    def test_one_that_is_gone_is_a_sentence(self, host):
        host.engine.images["mine:dev"] = image_id("1")
        name = put(host, order("a", self.text, images={}))["name"]
        host.engine.images.clear()
        with pytest.raises(RolloutError) as error:
            restage.restage(host.store, host.engine, name, False)
        assert str(error.value) == (
            f"Release {name} cannot run here: image mine:dev is no longer on this host, and: Image mine:dev is gone from this host, "
            "and no registry has it: it was built here. Build it again, or push it."
        )


class TestReadWhereItLies:
    """Before the first stop Compose reads the release as it was staged."""

    def odd(self, host, monkeypatch, change):
        """Compose that reads something else below releases/."""
        run = host.engine.run

        def reads(words, *rest, **options):
            code, out, err = run(words, *rest, **options)
            if "config" in words and "/releases/" in words[4]:
                out = json.dumps(change(json.loads(out)))
            return code, out, err

        monkeypatch.setattr(host.engine, "run", reads)

    @pytest.mark.parametrize(
        "change",
        [
            lambda found: {**found, "services": {k: v for k, v in found["services"].items() if k != "web"}},
            lambda found: {**found, "services": {**found["services"], "web": {**found["services"]["web"], "user": "0"}}},
            lambda found: {**found, "volumes": {"x": None}},
        ],
    )
    def test_what_it_reads_otherwise_is_refused_also_the_second_time(self, host, monkeypatch, change):
        self.odd(host, monkeypatch, change)
        for _twice in range(2):
            said = refused(host, order("a"))
            assert said == (
                f"Compose reads stack core otherwise where it lies ({host.store.directory('sha-aaaaaaa')}) than before: something there "
                "is read that does not belong to the release, or docker may not read it (as a snap it may not)."
            )
        assert host.events() == [] if host.store.path.exists() else True

    def test_what_it_may_not_read_is_refused(self, host, monkeypatch):
        run = host.engine.run
        denied = (1, "", "open /x/releases/sha-aaaaaaa/core/.env: permission denied")
        monkeypatch.setattr(
            host.engine,
            "run",
            lambda words, *r, **o: denied if "config" in words and "/releases/" in words[4] else run(words, *r, **o),
        )
        assert "permission denied" in refused(host, order("a"))

    def test_what_its_pins_add_is_no_difference(self, host):
        assert put(host, with_source())["changed"]


def test_the_stacks_own_variables_are_part_of_what_is_given_all_of_them(host):
    document = json.loads(text_of("sha-aaaaaaa"))
    document["services"]["web"]["env_file"] = [".env"]
    first = put(host, order("a", json.dumps(document), environment={"LEVEL": "info"}))["name"]
    host.bring(first, "run-a")
    settle.confirm(host.store, host.engine, first, "run-a", "rollout", 5, False)
    second = put(host, order("a", json.dumps(document), environment={"LEVEL": "debug"}))["name"]
    assert second == "sha-aaaaaaa.2"
    assert actions(host.bring(second, "run-a")) == {"db": "keep", "web": "recreate", "job": "keep"}
    # It is not in the release's directory alone: without env_file nobody is given it.
    plain = put(host, order("a", environment={"LEVEL": "other"}))["name"]
    assert actions(host.bring(plain, "run-a")) == {"db": "keep", "web": "recreate", "job": "keep"}


class TestKept:
    @pytest.mark.parametrize(
        ("keys", "why", "action"),
        [({}, "image", "keep"), ({"db": {"keep": True}}, "asked", "keep"), ({"db": {"keep": False}}, None, "recreate")],
    )
    def test_a_database_is_kept_unless_told_otherwise(self, host, keys, why, action):
        facts = {"source": {"services": keys}}
        name = put(host, order("a", **facts))["name"]
        assert host.store.manifest(name)["parts"]["core"]["kept"].get("db") == why
        host.bring(name, "run-a")
        settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
        other = json.loads(text_of("sha-bbbbbbb"))
        other["services"]["db"]["environment"] = {"A": "1"}
        done = host.bring(put(host, order("b", json.dumps(other), **facts))["name"], "run-b")
        assert actions(done)["db"] == action

    def test_it_is_told_the_first_time(self, host):
        notes = put(host, order("a"), True)["preview"]["notes"]
        assert notes == [
            "db is kept (postgres:17 is a database or a broker): it is started where it is absent, and never restarted. keep: false "
            "under its services changes that"
        ]
        host.rollout("a")
        assert put(host, order("b"), True)["preview"]["notes"] == []

    def test_an_image_that_stays_though_its_tag_moved_is_told(self, host):
        host.rollout("a")
        asked = order("b")
        asked.images["postgres:17"] = {"digest": digest("e")}
        notes = put(host, asked, True)["preview"]["notes"]
        assert notes == ["postgres:17 means another image by now; to bring it, add -e refresh=postgres:17 -e replace=db"]
        assert host.store.manifest(put(host, asked)["name"])["images"]["postgres:17"]["digest"] == digest("d")


def test_two_stacks_do_not_overwrite_each_others_variables(host):
    texts = {"core": text_of("sha-aaaaaaa", ("web",)), "extra": text_of("sha-aaaaaaa", ("job",), database=False)}
    bundles = {
        name: source(one, name, environment={"PORT": name}, secrets={"PW": f"canary-{name}"}) for name, one in texts.items()
    }
    name = put(host, replace(order("a", stacks=texts), stacks=bundles))["name"]
    assert host.store.read(name, "core/.env") == 'PORT="core"\nPW="canary-core"\n'
    assert host.store.read(name, "extra/.env") == 'PORT="extra"\nPW="canary-extra"\n'
    assert host.store.manifest(name)["secrets"] == ["PW"]
