from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain import compose, thrown
from ansible.module_utils.rollout.domain.gate import GATE, Drain, Expectation
from ansible.module_utils.rollout.domain.manifest import Part
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError

FILE = "docker-compose.core.yml"
# As Compose 2.26 prints it.
CONFIG = json.loads("""
{
  "name": "ktrdr-core",
  "services": {
    "backend": {
      "command": null, "entrypoint": null, "depends_on": {"db": {"condition": "service_started", "required": true}},
      "environment": {"KTRDR_DATABASE_URL": "postgresql+psycopg://ktrdr@db:5432/ktrdr"},
      "image": "localhost:5000/ktrdr-backend:sha-abc1234", "networks": {"default": null},
      "ports": [{"mode": "ingress", "target": 8000, "published": "8000", "protocol": "tcp"},
                {"mode": "ingress", "target": 9000, "protocol": "tcp"}],
      "restart": "unless-stopped", "stop_grace_period": "10s"
    },
    "db": {"command": null, "entrypoint": null, "image": "postgres:17-alpine", "networks": {"default": null}},
    "trainer": {
      "deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], "driver": "nvidia", "count": 1}]}},
                 "placement": {}},
      "image": "localhost:5000/ktrdr-worker-gpu:sha-abc1234"
    }
  },
  "volumes": {"db": {"name": "ktrdr-core_db"}},
  "x-rollout": {
    "backend": {"torch": "absent", "health": ["http://127.0.0.1:8000/api/v1/health"], "names_release": true,
                "deadline": 90, "successes": 2, "window": 0.5},
    "trainer": null
  }
}
""")


def config(**gate):
    return {"services": {"web": {"image": "r/web:1"}}, "x-rollout": {"web": gate}}


def test_services_of_a_real_document():
    db, backend, trainer = compose.services(CONFIG, FILE)
    assert (db.name, db.released, db.image) == ("db", False, "postgres:17-alpine")
    assert (backend.torch, backend.health, backend.deadline) == (
        Expectation("absent"),
        ("http://127.0.0.1:8000/api/v1/health",),
        90,
    )
    assert (backend.successes, backend.window, backend.names_release) == (2, 0.5, True)
    assert backend.ports == (Port(8000),)
    assert trainer.released
    assert trainer.torch is None


def test_a_torch_contract_may_say_more_than_the_flavour():
    gate = {"flavour": "cuda", "python": "/opt/venv/bin/python", "min_torch": "2.4", "uuids": ["GPU-1"], "min_shm_mib": 1024}
    (web,) = compose.services(config(torch=gate), FILE)
    assert web.torch == Expectation("cuda", "/opt/venv/bin/python", "2.4", uuids=("GPU-1",), min_shm_mib=1024)


THROWN = {
    "image": "r/gpu",
    "user": "1000",
    "environment": {"A": "1"},
    "shm_size": "1073741824",
    "runtime": "nvidia",
    "devices": ["/dev/dri"],
    "deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia"}]}, "limits": {"memory": "4G"}}, "replicas": 2},
}


@pytest.mark.parametrize("gpu", [True, False])
def test_a_throw_away_container_has_what_torch_sees_and_nothing_else(gpu):
    rest = {
        "ports": [{"published": "80"}],
        "volumes": ["/data:/data"],
        "networks": {"default": None},
        "command": ["serve"],
        "entrypoint": ["/init"],
        "depends_on": {"db": {}},
        "secrets": ["s"],
        "container_name": "gpu",
        "restart": "always",
        "ipc": "service:other",
    }
    found = thrown.throw_away({**THROWN, **rest}, "python3", gpu)
    assert not (set(rest) - {"command", "entrypoint"}) & set(found)
    assert (found["entrypoint"], found["command"], found["network_mode"]) == (["python3"], ["-"], "none")
    assert {k: found[k] for k in ("image", "user", "shm_size")} == {k: THROWN[k] for k in ("image", "user", "shm_size")}
    resources = THROWN["deploy"]["resources"]
    if gpu:
        assert (found["runtime"], found["devices"], found["environment"]) == ("nvidia", ["/dev/dri"], {"A": "1"})
        assert found["deploy"] == {"resources": resources}
    else:
        assert not {"runtime", "devices"} & set(found)
        assert found["environment"] == {"A": "1", "NVIDIA_VISIBLE_DEVICES": "void"}
        assert found["deploy"] == {"resources": {"limits": resources["limits"]}}


@pytest.mark.parametrize(
    ("devices", "cards"),
    [
        ([{"count": 1}], ("0",)),
        ([{"count": 2}], ("0", "1")),
        ([{"count": -1}], ()),
        ([{"device_ids": ["1", "GPU-2"]}], ("1", "GPU-2")),
        ([{}], ()),
        ([], ()),
    ],
)
def test_the_cards_that_a_service_gets(devices, cards):
    assert compose.cards({"deploy": {"resources": {"reservations": {"devices": devices}}}}) == cards
    assert compose.cards({"gpus": devices}) == cards


def test_the_plainest_throw_away_container():
    found = thrown.throw_away({"image": "r/a", "ipc": "host"}, "python3", True)
    assert found["ipc"] == "host"
    assert "deploy" not in found


@pytest.mark.parametrize(
    ("period", "seconds"), [("10s", 10), ("1m30s", 90), ("1h0m1s", 3601), ("1.5s", 1.5), ("500ms", 0.5), ("0s", 0)]
)
def test_the_grace_period(period, seconds):
    document = config()
    assert compose.services(document, FILE)[0].grace == 10
    document["services"]["web"]["stop_grace_period"] = period
    assert compose.services(document, FILE)[0].grace == seconds


def test_a_drain():
    (web,) = compose.services(config(drain={"stop": "http://h/drain", "mode": "wait"}), FILE)
    assert web.drain == Drain("http://h/drain", mode="wait")


def test_gates_without_a_number():
    _db, _backend, trainer = compose.services(CONFIG, FILE)
    assert (trainer.deadline, trainer.successes, trainer.window) == (120.0, 3, 0.2)


def test_the_hash_follows_the_configuration_and_the_pinned_label_wins():
    first = compose.services(config(), FILE)[0].config_hash
    changed = config()
    changed["services"]["web"]["environment"] = {"A": "1"}
    assert compose.services(changed, FILE)[0].config_hash != first
    changed["services"]["web"]["labels"] = {compose.CONFIG_LABEL: first}
    assert compose.services(changed, FILE)[0].config_hash == first


def shared(content="a", place="/files/1/t", **more):
    document = config()
    document["services"]["web"] |= {"configs": [{"source": "c", "target": "/c"}], "secrets": [{"source": "s"}, "t"]}
    document["configs"] = {"c": {"name": "check_c", "content": content}, "other": {"content": more.pop("other", "")}}
    document["secrets"] = {"s": {"environment": "PW"}, "t": {"file": place}}
    return compose.services(document, FILE, values={"PW": "x", **more})[0].config_hash


def test_the_hash_follows_what_the_file_puts_into_the_container():
    assert shared() == shared(other="b", ELSE="y")
    assert len({shared(), shared("b"), shared(PW="y"), shared(place="/files/2/t")}) == 4


def test_the_hash_of_what_shares_nothing_is_that_of_the_service_alone():
    document = config()
    document["configs"] = {"c": {"content": "x"}}
    assert compose.services(document, FILE, values={"PW": "x"})[0].config_hash == compose.services(config(), FILE)[0].config_hash


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ({"image": "r/web:2"}, True),
        ({"build": {"context": "/x"}}, True),
        ({"develop": {"watch": []}}, True),
        ({"pull_policy": "always"}, True),
        ({"user": "1"}, False),
        ({"labels": {"a": "b"}}, False),
        ({"environment": {"A": "1"}}, False),
    ],
)
def test_what_is_no_part_of_the_container_is_not_in_the_hash(more, same):
    """An image is compared by itself, by its id."""
    spec = {"image": "r/web:1"}
    assert (compose.config_hash(spec) == compose.config_hash({**spec, **more})) is same


class TestFormerHash:
    """Labels that an earlier version put on containers are compared with it: these are what commit 6e677c5 computed."""

    def test_it_is_of_the_whole_service(self):
        assert compose.former_hash({"image": "r/web:1"}, {}, {}) == "b803077cef4b1c87"

    def test_of_what_is_shared_the_files_are_left_out(self):
        spec = {"image": "x", "configs": [{"source": "c"}], "secrets": [{"source": "s"}, "t"]}
        document = {"configs": {"c": {"content": "a"}}, "secrets": {"s": {"environment": "PW"}, "t": {"file": "/etc/t"}}}
        found = compose.former_hash(spec, document, {"PW": "x"})
        assert found == "b9a11c1183abdfb5"
        assert found != compose.former_hash(spec, document, {"PW": "y"})

    def test_it_was_read_in_a_place_that_is_nowhere(self):
        spec = {"image": "x", "build": {"context": "/far/core/app", "args": ["/far/core"]}, "command": ["/far/core"]}
        found = compose.former_hash(spec, {}, {}, "/far/core")
        former = {**spec, "build": {"context": f"{NOWHERE}/app", "args": [NOWHERE]}}
        assert found == compose.former_hash(former, {}, {}) == "ff12822ee9b19d57"


NOWHERE = "/.release/.release/.release"


def test_the_order_of_keys_does_not_change_the_hash():
    one = {"services": {"web": {"image": "x", "user": "1"}}, "x-rollout": {"web": None}}
    two = {"services": {"web": {"user": "1", "image": "x"}}, "x-rollout": {"web": None}}
    assert compose.services(one, FILE) == compose.services(two, FILE)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            {"services": {}, "x-rollout": {"web": {}}},
            f"{FILE}: x-rollout, or services in the inventory, names service web, which the file does not have.",
        ),
        (
            {"services": {"web": {}}, "x-rollout": {"web": {}}},
            f"{FILE}: service web has no image; a rollout does not build. Build it, push it, and give the service image: with what "
            "was pushed; build: may stay beside it.",
        ),
        (
            {"services": {"web": {"image": "x"}}, "x-rollout": {"web": [1]}},
            f"{FILE}: x-rollout.web is [1]: expected a mapping.",
        ),
        (
            config(dedline=1),
            f"{FILE}: x-rollout.web has 'dedline'; known are {', '.join(GATE)}.",
        ),
        (config(deadline="90"), f"{FILE}: x-rollout.web.deadline is '90': expected a number of seconds."),
        (config(deadline=True), "x-rollout.web.deadline is True: expected a number of seconds."),
        (config(successes=1.5), "x-rollout.web.successes is 1.5: expected a whole number."),
        (config(window="x"), "x-rollout.web.window is 'x': expected a number of seconds."),
        (config(keep="yes"), "x-rollout.web.keep is 'yes': expected true or false."),
        (config(anonymous="new"), "x-rollout.web.anonymous is 'new': expected one of keep, renew."),
        (config(names_release="yes"), "x-rollout.web.names_release is 'yes': expected true or false."),
        (config(health=7), "x-rollout.web.health is 7: expected a list of URLs."),
        (
            config(health=["ftp://x"]),
            "x-rollout.web.health has 'ftp://x': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        ),
        (
            config(health=["http://x:80a0/"]),
            "x-rollout.web.health has 'http://x:80a0/': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        ),
        (
            config(health=["http:///health"]),
            "x-rollout.web.health has 'http:///health': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        ),
        (config(drain={"stop": "http://[x"}), "x-rollout.web.drain.stop is 'http://[x': expected an http:// URL that stops"),
        (config(health=[None]), "x-rollout.web.health has 'None': expected an http:// or https:// URL, or tcp://NAME:PORT."),
        (config(drain="http://x"), "x-rollout.web.drain is 'http://x': expected a mapping with stop, the URL"),
        (config(drain={"stop": "x"}), "x-rollout.web.drain.stop is 'x': expected an http:// URL that stops"),
        (
            config(torch=False),
            "x-rollout.web.torch is False: expected one of absent, cpu, cuda, rocm, or a mapping with flavour.",
        ),
        (
            config(torch="gpu"),
            "x-rollout.web.torch is 'gpu': expected one of absent, cpu, cuda, rocm, or a mapping with flavour.",
        ),
        (config(torch={"flavour": "cuda", "min_vram": 1}), "x-rollout.web.torch has 'min_vram'; known are flavour, python"),
        (config(torch={"min_torch": "2.1"}), "x-rollout.web.torch.flavour is missing: expected one of absent, cpu, cuda, rocm."),
        (
            config(torch={"flavour": "cuda", "min_cuda": 12.4}),
            "x-rollout.web.torch.min_cuda is 12.4: expected a version in quotes.",
        ),
        (
            config(torch={"flavour": "cuda", "min_cuda": "new"}),
            "x-rollout.web.torch.min_cuda is 'new': expected a version in quotes.",
        ),
        (config(torch={"flavour": "cuda", "devices": -1}), "x-rollout.web.torch.devices is -1: expected a whole number."),
        (config(torch={"flavour": "cuda", "devices": True}), "x-rollout.web.torch.devices is True: expected a whole number."),
        (config(torch={"flavour": "cuda", "uuids": "GPU-1"}), "x-rollout.web.torch.uuids is 'GPU-1': expected a list of UUIDs."),
    ],
)
def test_refusals(document, sentence):
    with pytest.raises(RolloutError) as error:
        compose.services(document, FILE)
    assert sentence in str(error.value)


def staged(services, kept=(), **facts):
    """What a release says of a stack."""
    return Part("core", (FILE,), services=services, kept=dict.fromkeys(kept, "image"), **facts)


def test_every_service_is_of_the_release_but_for_the_kept():
    document = {"services": {"web": {"image": "r/web:1"}, "job": {"image": "r/job:1"}, "db": {"image": "postgres:17"}}}
    found = compose.services(document, FILE, staged({"web": {"deadline": 5}, "job": {}, "db": {}}, kept=["db"]))
    assert [(s.name, s.released, s.kept, s.deadline) for s in found] == [
        ("db", False, "image", 120),
        ("web", True, "", 5),
        ("job", True, "", 120),
    ]


def test_a_release_says_what_the_references_were_and_which_labels_are_as_good():
    document = {
        "services": {"web": {"image": "sha256:1", "labels": {compose.CONFIG_LABEL: "new"}}, "db": {"image": "p@sha256:2"}}
    }
    part = staged({}, kept=["db"], references={"web": "built:1", "db": "p:17@sha256:2"}, former={"web": "old", "db": ""})
    db, web = compose.services(document, FILE, part)
    assert (web.image, db.image) == ("built:1", "p:17@sha256:2")
    assert [web.is_labelled(label) for label in ("new", "old", "", "other")] == [True, True, False, False]
    assert db.is_labelled("")
    assert not replace(db, former=None).is_labelled("")


def test_in_a_release_of_an_earlier_version_x_rollout_says_which_are_of_it_and_the_others_have_no_label():
    document = {"services": {"web": {"image": "r/web:1"}, "db": {"image": "mine:1"}}, "x-rollout": {"web": None}}
    for part in (None, Part("", (FILE, "pins.json"))):
        db, web = compose.services(document, FILE, part)
        assert (db.kept, web.kept, db.former, web.former) == ("earlier", "", "", None)


@pytest.mark.parametrize(
    ("written", "own", "keys"),
    [
        (None, {}, {"web": {}, "db": {}}),
        ({"web": None}, {}, {"web": {}, "db": {}}),
        ({"web": {"deadline": 1}}, {}, {"web": {"deadline": 1}, "db": {}}),
        ({"web": {"deadline": 1, "successes": 2}}, {"web": {"deadline": 3}}, {"web": {"deadline": 3, "successes": 2}, "db": {}}),
        ({"db": {"keep": True}}, {"db": {"keep": False}}, {"web": {}, "db": {"keep": False}}),
        ({}, {"db": {"keep": True}, "web": None}, {"web": {}, "db": {"keep": True}}),
    ],
)
def test_the_keys_of_a_service_stand_in_the_file_or_the_inventory_which_wins(written, own, keys):
    document = {"services": {"web": {"image": "x"}, "db": {"image": "y"}}, "x-rollout": written}
    assert compose.keys(document, FILE, own) == keys


def test_everything_wrong_with_keys_is_said_at_once():
    document = {"services": {"web": {}}, "x-rollout": {"web": {"dedline": 1}, "api": {}}}
    with pytest.raises(RolloutError) as error:
        compose.keys(document, FILE, {"web": {"keep": 1}, "bd": {"keep": True}})
    starts = [
        f"{FILE}: x-rollout.web has 'dedline'; known are ",
        "services.web.keep is 1: expected true or false.",
        f"{FILE}: x-rollout, or services in the inventory, names service api, which the file does not have.",
        f"{FILE}: x-rollout, or services in the inventory, names service bd, which the file does not have.",
    ]
    said = str(error.value).splitlines()
    assert [line[: len(start)] for line, start in zip(said, starts, strict=True)] == starts


@pytest.mark.parametrize("written", [["web"], "web", 1])
def test_keys_are_a_mapping(written):
    with pytest.raises(RolloutError) as error:
        compose.keys({"services": {"web": {}}, "x-rollout": written}, FILE)
    assert str(error.value) == f"{FILE}: x-rollout is {written!r}: expected a mapping of services."


def test_anonymous_volumes_may_begin_empty():
    assert compose.services(config(anonymous="renew"), FILE)[0].renew
    assert not compose.services(config(anonymous="keep"), FILE)[0].renew


BIND = {"type": "bind", "source": "/files/1/a", "target": "/a"}


@pytest.mark.parametrize(
    ("there", "same"),
    [
        ({"image": "r/web@sha256:1", "labels": {compose.CONFIG_LABEL: "c", compose.RELEASE_LABEL: "v", "own": "x"}}, True),
        ({"build": {"context": "/elsewhere"}}, True),
        ({"volumes": [{**BIND, "bind": {"create_host_path": False}}]}, True),
        ({"volumes": [{**BIND, "bind": {"create_host_path": True}}]}, True),
        ({"volumes": [{**BIND, "bind": {"selinux": "z"}}]}, False),
        ({"volumes": [{**BIND, "source": "/files/2/a"}]}, False),
        ({"labels": {"own": "y"}}, False),
        ({"environment": {"A": "2"}}, False),
    ],
)
def test_two_readings_of_a_stack_are_compared_without_what_its_pins_add(there, same):
    spec = {"image": "r/web:1", "labels": {"own": "x"}, "environment": {"A": "1"}, "volumes": [{**BIND, "bind": {}}]}
    here, other = ({"services": {"web": one}} for one in (spec, {**spec, **there}))
    assert (compose.comparable(here) == compose.comparable(other)) is same


@pytest.mark.parametrize("kind", ["configs", "networks", "secrets", "volumes"])
def test_two_readings_of_a_stack_are_compared_with_what_stands_beside_its_services(kind):
    assert compose.comparable({}) == compose.comparable({"name": "x", kind: {}, "x-rollout": {}})
    assert compose.comparable({}) != compose.comparable({kind: {"a": None}})


def test_none_is_started_before_what_it_depends_on():
    after = {"app": ["model", "db"], "model": ["zoo"], "zoo": [], "db": ["zoo"], "other": []}
    specs = {name: {"image": "x", "depends_on": {one: {} for one in ones}} for name, ones in after.items()}
    found = compose.services({"services": specs, "x-rollout": dict.fromkeys(["app", "model", "zoo", "other"])}, FILE)
    # What is outside the release comes first all the same: it was there before.
    assert [s.name for s in found] == ["db", "zoo", "model", "app", "other"]


def test_everything_wrong_with_the_services_is_said_at_once():
    document = {
        "services": {
            "web": {"image": "r/web:1", "scale": 2, "container_name": "web"},
            "job": {"depends_on": {"web": {"condition": "service_completed_successfully"}}},
        },
    }
    with pytest.raises(RolloutError) as error:
        compose.services(document, FILE, staged({"web": {"dedline": 1, "health": ["h:80"]}}))
    starts = [
        f"{FILE}: service web is to have 2 containers, and it has container_name web",
        f"{FILE}: x-rollout.web has 'dedline'; known are ",
        f"{FILE}: x-rollout.web.health has 'h:80': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        f"{FILE}: service job has no image;",
    ]
    said = str(error.value).splitlines()
    assert [line[: len(start)] for line, start in zip(said, starts, strict=True)] == starts


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("a", "a"),
        ("a:1", "a"),
        ("h:5000/a", "h:5000/a"),
        ("h:5000/a:1", "h:5000/a"),
        ("h:5000/a:1@sha256:0", "h:5000/a"),
        ("h/b/a@sha256:0", "h/b/a"),
    ],
)
def test_repository(image, repository):
    assert compose.repository(image) == repository


def test_a_command_has_the_dollars_that_the_file_means():
    # As `docker compose config` prints exec: [sh, -c, 'test "$$A"'].
    config = {
        "services": {"web": {"image": "r/web:1"}},
        "x-rollout": {"web": {"exec": ["sh", "-c", 'test "$$A"'], "deadline": 5}},
    }
    own = {"web": {"health": "http://web/$$"}}
    assert compose.keys(config, "f.yml", own)["web"] == {
        "exec": ["sh", "-c", 'test "$A"'],
        "deadline": 5,
        "health": "http://web/$$",
    }
