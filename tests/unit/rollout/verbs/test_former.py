"""A host on which an earlier version of this tool was at work: what it has stays a target, and nothing restarts by the upgrade."""

from __future__ import annotations

import json
from dataclasses import replace

import former_state
import pytest
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.verbs import observe, restage, settle, stage
from ansible.module_utils.rollout.verbs.former import Before
from fake_engine import digest, image_id
from story import actions, failure, order, source

A, B = "sha-aaaaaaa", "sha-bbbbbbb"


@pytest.fixture
def upgraded(host):
    """A host with two stable releases of the earlier version, of which the second one runs. ``ids`` are its containers."""
    former_state.release(host, "a")
    former_state.release(host, "b")
    host.ids = former_state.start(host, "b")
    host.engine.calls = []
    return host


def asked(letter, **facts):
    text = facts.pop("text", None) or former_state.text(letter, **facts.pop("kept", {}))
    images = {f"r/{name}:sha-{letter * 7}": {"digest": digest(letter), "now": True, "follows": True} for name in ("web", "job")}
    return order(letter, text, **{"images": images, **facts})


def put(host, letter, check=False, **facts):
    return stage.stage(host.store, host.engine, asked(letter, **facts), check)


def roll(host, letter, **facts):
    """A whole rollout; what its switch did."""
    policy = {"replace": facts["replace"]} if "replace" in facts else {}
    name = put(host, letter, **facts)["name"]
    done = host.bring(name, f"run-{letter}", **policy)
    settle.confirm(host.store, host.engine, name, f"run-{letter}", "rollout", 5, False)
    return done


def drift(host):
    rows = observe.services(host.store, host.engine, "app", ["core"])
    return {row["service"]: row["drift"] for row in rows if row["drift"]}


def kept(host, name):
    return manifests.part(host.store.manifest(name), "core").kept


def test_what_was_written_is_what_that_version_wrote(upgraded):
    """The labels are what it computed of this very file."""
    assert upgraded.store.edited(A) == upgraded.store.edited(B) == []
    assert upgraded.store.ledger().stable.name == B
    assert upgraded.store.ledger().previous.name == A
    assert manifests.is_former(json.loads((upgraded.store.directory(B) / "release.json").read_text()))


def test_before_the_first_rollout_status_is_quiet_and_a_look_finds_nothing(upgraded):
    assert drift(upgraded) == {}
    assert not upgraded.look(B)["changed"]
    assert {row["service"]: row["action"] for row in upgraded.prove(B)["services"]} == dict.fromkeys(upgraded.ids, "keep")
    assert observe.gone(upgraded.store, upgraded.engine) == []
    assert upgraded.engine.touched == []


def test_but_what_is_not_as_it_should_be_is_said(upgraded):
    upgraded.edit("web", Image=image_id("a"))
    upgraded.engine.made[0]["Config"]["Image"] = "postgres:15"
    assert drift(upgraded) == {
        "web": ["runs another image than the release's"],
        "db": [
            "kept, and not as the release has it: image 15 -> 16. To bring it: ansible-playbook rollout.yml -e sha=bbbbbbb -e "
            "replace=db"
        ],
    }


def test_the_first_rollout_of_the_same_restarts_nothing(upgraded):
    preview = put(upgraded, "b", check=True)["preview"]
    assert {row["action"] for row in preview["services"]} == {"keep"}
    assert {row["why"] for row in preview["services"]} == {""}
    assert (preview["variables"], preview["barred"]) == ([], [])
    done = roll(upgraded, "b")
    assert not done["changed"]
    assert set(actions(done).values()) == {"keep"}
    assert upgraded.engine.running() == upgraded.ids
    assert [call for call in upgraded.engine.touched if call.split()[0] not in ("tag", "pull")] == []
    assert upgraded.store.ledger().stable.name == f"{B}.2"
    assert drift(upgraded) == {}


def test_and_the_second_one_stages_nothing(upgraded):
    roll(upgraded, "b")
    upgraded.engine.calls = []
    again = put(upgraded, "b")
    assert (again["name"], again["changed"], again["ready"]) == (f"{B}.2", False, True)
    assert not upgraded.bring(f"{B}.2", "again")["changed"]
    assert upgraded.engine.touched == []
    assert upgraded.engine.running() == upgraded.ids


def test_what_it_kept_stays_kept_for_that_reason_from_release_to_release(upgraded):
    roll(upgraded, "b")
    assert kept(upgraded, f"{B}.2") == {"db": "earlier", "cache": "earlier"}
    assert roll(upgraded, "c")["changed"]
    assert kept(upgraded, "sha-ccccccc") == {"db": "earlier", "cache": "earlier"}
    running = upgraded.engine.running()
    assert {name: running[name] == upgraded.ids[name] for name in running} == {
        "db": True,
        "cache": True,
        "web": False,
        "job": False,
    }
    assert drift(upgraded) == {}


def test_until_the_inventory_decides(upgraded):
    keys = {"services": {"cache": {"keep": False}, "db": {"keep": True}}}
    done = roll(upgraded, "b", source=keys)
    assert kept(upgraded, f"{B}.2") == {"db": "asked"}
    # It is of the release from now on, and says so once it is made anew: it is as it should be.
    assert upgraded.engine.running() == upgraded.ids
    assert set(actions(done).values()) == {"keep"}
    assert drift(upgraded) == {}
    done = roll(upgraded, "c", source=keys, kept={"cache": "mine:2"}, images=with_cache("c"))
    assert actions(done) == {"db": "keep", "cache": "recreate", "web": "recreate", "job": "recreate"}


def with_cache(letter):
    return {**asked(letter).images, "mine:2": {"digest": digest("f")}}


def test_what_is_another_one_is_restarted_and_nothing_else(upgraded):
    document = json.loads(former_state.text("b"))
    document["services"]["web"]["user"] = "1000"
    done = roll(upgraded, "b", text=json.dumps(document))
    assert {name: row for name, row in actions(done).items() if row != "keep"} == {"web": "recreate"}
    running = upgraded.engine.running()
    assert {name for name in running if running[name] != upgraded.ids[name]} == {"web"}
    assert drift(upgraded) == {}


@pytest.mark.parametrize("environment", [{"A": "2"}, None])
def test_of_a_kept_service_it_is_told_what_differs_and_not_restarted(upgraded, environment):
    document = json.loads(former_state.text("b", **({} if environment else {"db": "postgres:17"})))
    if environment:
        document["services"]["db"]["environment"] = environment
    why = "kept: configuration" if environment else "kept: image 16 -> 17"
    preview = put(upgraded, "b", check=True, text=json.dumps(document))["preview"]
    assert {row["service"]: row["why"] for row in preview["services"] if row["why"]} == {"db": why}
    assert not roll(upgraded, "b", text=json.dumps(document))["changed"]
    assert upgraded.engine.running() == upgraded.ids
    assert drift(upgraded) == {
        "db": [
            f"kept, and not as the release has it: {why[6:]}. To bring it: ansible-playbook rollout.yml -e sha=bbbbbbb -e replace=db"
        ]
    }


def test_it_is_restarted_where_that_is_asked_for_and_comes_back_on_the_way_back(upgraded):
    name = put(upgraded, "c", kept={"db": "postgres:17"}, replace=("db",))["name"]
    done = upgraded.bring(name, "run-c", replace=("db",))
    assert actions(done) == {"db": "recreate", "cache": "keep", "web": "recreate", "job": "recreate"}
    assert image_of(upgraded, "db") == image_id("d")
    done = upgraded.bring_back(B, "run-c")
    assert actions(done)["db"] == "recreate"
    assert (image_of(upgraded, "db"), image_of(upgraded, "web")) == (image_id("c"), image_id("b"))
    assert upgraded.engine.running()["cache"] == upgraded.ids["cache"]
    assert not upgraded.bring_back(B, "run-c")["changed"], "it is back"
    assert settle.reverted(upgraded.store, "run-c", B)["changed"]
    assert drift(upgraded) == {}


def image_of(host, service):
    return next(c["Image"] for c in host.engine.made if c["Id"] == host.engine.running()[service])


def test_what_fails_comes_back_to_it(upgraded):
    name = put(upgraded, "c")["name"]
    upgraded.engine.broken = {"web": {"Status": "exited", "ExitCode": 1}}
    failure(upgraded.bring, name, "run-c")
    upgraded.engine.broken = {}
    upgraded.bring_back(B, "run-c")
    assert image_of(upgraded, "web") == image_id("b")
    assert upgraded.engine.running()["db"] == upgraded.ids["db"]
    settle.reverted(upgraded.store, "run-c", B)
    assert drift(upgraded) == {}
    assert upgraded.prove(B)["services"]


@pytest.mark.parametrize("first", [False, True])
def test_its_releases_are_targets_of_a_rollback(upgraded, first):
    """Before this version has rolled anything out here, and after."""
    if first:
        roll(upgraded, "b")
    back = restage.restage(upgraded.store, upgraded.engine, A, True, stacks=["core"])
    rows = {row["service"]: (row["action"], row["why"]) for row in back["preview"]["services"]}
    assert rows == {"db": ("keep", ""), "cache": ("keep", ""), "web": ("recreate", "image"), "job": ("recreate", "image")}
    assert back["ready"]
    assert "canary" not in json.dumps(back["diff"])
    assert restage.restage(upgraded.store, upgraded.engine, A, False, stacks=["core"])["pulled"] == 0
    done = upgraded.bring(A, "back")
    assert {name for name, action in actions(done).items() if action == "recreate"} == {"web", "job"}
    settle.confirm(upgraded.store, upgraded.engine, A, "back", "rollback", 5, False)
    assert (image_of(upgraded, "web"), image_of(upgraded, "db")) == (image_id("a"), image_id("c"))
    assert drift(upgraded) == {}
    # And forth again.
    upgraded.bring(f"{B}.2" if first else B, "forth")
    assert image_of(upgraded, "web") == image_id("b")
    assert upgraded.engine.running()["db"] == upgraded.ids["db"]


def test_a_kept_service_that_is_gone_is_started_as_it_was(upgraded):
    upgraded.engine.made = [c for c in upgraded.engine.made if c["Id"] != upgraded.ids["db"]]
    assert actions(upgraded.bring(B, "run-b"))["db"] == "create"
    assert image_of(upgraded, "db") == image_id("c")
    assert drift(upgraded) == {}


def test_an_image_of_it_that_is_gone_is_pulled_again(upgraded):
    del upgraded.engine.images[f"r/web@{digest('a')}"]
    assert observe.gone(upgraded.store, upgraded.engine) == [A]
    restage.restage(upgraded.store, upgraded.engine, A, False)
    assert observe.gone(upgraded.store, upgraded.engine) == []
    assert upgraded.engine.images[f"r/web:{A}"] == image_id("a")


def test_it_comes_back_with_the_environment_of_today_as_a_release_of_this_version(upgraded):
    today = source("services: {}", environment={"PORT": "1"}, secrets={"PW": "canary-new"}, services={"db": {"keep": False}})
    bundle = restage.source(upgraded.store, A, "core", today)
    assert (bundle.compose, set(bundle.files)) == (("docker-compose.core.yml",), {"docker-compose.core.yml"})
    assert bundle.files["docker-compose.core.yml"].text == former_state.text("a")
    assert (bundle.secrets, bundle.services) == ({"PW": "canary-new"}, {}), "which is of it, that file says"
    images = {r: {**image, "now": True} for r, image in upgraded.store.manifest(A)["images"].items()}
    one = replace(asked("a"), images=images, stacks={"core": bundle})
    name = stage.stage(upgraded.store, upgraded.engine, one, False)["name"]
    assert name == f"{A}.2"
    assert kept(upgraded, name) == {"db": "earlier", "cache": "earlier"}
    assert 'PW="canary-new"' in upgraded.store.read(name, "core/.env")
    done = upgraded.bring(name, "run-a")
    assert actions(done) == {"db": "keep", "cache": "keep", "web": "recreate", "job": "recreate"}


def test_they_go_as_old_releases_do_and_leave_what_others_need(upgraded):
    for letter in "cd":
        roll(upgraded, letter)
    done = settle.confirm(upgraded.store, upgraded.engine, "sha-ddddddd", "run-d", "rollout", 2, False)
    assert (done["removed"], done["left"]) == ([A, B], [])
    assert [name for name in upgraded.engine.images if name.startswith("r/web") and ("aaa" in name or "bbb" in name)] == []
    assert {"postgres:16", "mine:1"} <= set(upgraded.engine.images)


def test_an_edited_one_is_not_left(upgraded):
    (upgraded.store.directory(B) / "docker-compose.core.yml").write_text("{}")
    sentence, _facts = failure(put, upgraded, "c")
    assert f"docker-compose.core.yml in {upgraded.store.directory(B)} was edited by hand" in sentence


class TestBefore:
    def test_of_none_nothing_is_known(self, host):
        before = Before(host.store, host.engine, "app")
        assert (before.kept("core"), before.labels("core", {}, "", {}, {}), before.knows("core")) == ({}, {}, False)

    def test_of_one_that_cannot_be_read_nothing_is_known(self, upgraded):
        (upgraded.store.directory(B) / "release.json").write_text("{")
        before = Before(upgraded.store, upgraded.engine, "app")
        assert (before.kept("core"), before.labels("core", {}, "", {}, {}), before.knows("core")) == ({}, {}, False)

    def test_of_a_file_that_compose_does_not_accept_any_more_nothing_is_known(self, upgraded):
        (upgraded.store.directory(B) / "docker-compose.core.yml").write_text("a: b: c")
        assert Before(upgraded.store, upgraded.engine, "app").kept("core") == {}

    def test_the_labels_of_a_file(self, upgraded):
        config = json.loads(former_state.text("b"))
        before = Before(upgraded.store, upgraded.engine, "app")
        assert before.labels("core", config, "/p", config, {}) == {**former_state.LABELS["b"], "db": "", "cache": ""}
        config["services"]["db"]["user"] = "1"
        del config["services"]["cache"]
        assert before.labels("core", config, "/p", config, {}) == {**former_state.LABELS["b"]}
        assert before.kept("core") == {"db": "earlier", "cache": "earlier"}
        assert (before.kept("other"), before.knows("core")) == ({}, False)

    def test_they_are_carried_as_long_as_the_configuration_is_the_same(self, upgraded):
        roll(upgraded, "b")
        config = json.loads(former_state.text("b"))
        before = Before(upgraded.store, upgraded.engine, "app")
        every = {**former_state.LABELS["b"], "db": "", "cache": ""}
        assert before.labels("core", config, "/p", config, {}) == every
        config["services"]["web"]["user"] = "1"
        assert before.labels("core", config, "/p", config, {}) == {k: v for k, v in every.items() if k != "web"}
        assert before.knows("core")

    def test_pins_that_were_edited_carry_nothing(self, upgraded):
        roll(upgraded, "b")
        (upgraded.store.directory(f"{B}.2") / "core/rollout.pins.json").write_text("{")
        config = json.loads(former_state.text("b"))
        assert Before(upgraded.store, upgraded.engine, "app").labels("core", config, "/p", config, {}) == {}
