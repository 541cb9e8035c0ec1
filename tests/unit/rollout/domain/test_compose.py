from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import compose
from ansible.module_utils.rollout.domain.gate import GATE, Drain, Expectation
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
    found = compose.throw_away({**THROWN, **rest}, "python3", gpu)
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
    found = compose.throw_away({"image": "r/a", "ipc": "host"}, "python3", True)
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


def shared(content="a", **more):
    document = config()
    document["services"]["web"] |= {"configs": [{"source": "c", "target": "/c"}], "secrets": [{"source": "s"}, "t"]}
    document["configs"] = {"c": {"name": "check_c", "content": content}, "other": {"content": more.pop("other", "")}}
    document["secrets"] = {"s": {"environment": "PW"}, "t": {"file": "/etc/t"}}
    return compose.services(document, FILE, {"PW": "x", **more})[0].config_hash


def test_the_hash_follows_what_the_file_puts_into_the_container():
    assert shared() == shared(other="b", ELSE="y")
    assert len({shared(), shared("b"), shared(PW="y")}) == 3


def test_the_hash_of_what_shares_nothing_is_what_it_was():
    """Labels that are on containers already are compared with it."""
    document = config()
    document["configs"] = {"c": {"content": "x"}}
    assert compose.services(document, FILE, {"PW": "x"})[0].config_hash == compose.services(config(), FILE)[0].config_hash
    assert compose.services(config(), FILE)[0].config_hash == "b803077cef4b1c87"


def test_the_order_of_keys_does_not_change_the_hash():
    one = {"services": {"web": {"image": "x", "user": "1"}}, "x-rollout": {"web": None}}
    two = {"services": {"web": {"user": "1", "image": "x"}}, "x-rollout": {"web": None}}
    assert compose.services(one, FILE) == compose.services(two, FILE)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, f"{FILE} has no x-rollout at its top: it must name the services of the release and their gates"),
        ({"services": {"a": {"image": "x"}}, "x-rollout": {}}, "has no x-rollout at its top"),
        ({"services": {"a": {"image": "x"}}, "x-rollout": ["a"]}, "has no x-rollout at its top"),
        (
            {"services": {}, "x-rollout": {"web": {}}},
            f"{FILE}: x-rollout names service web, which the file does not have.",
        ),
        (
            {"services": {"web": {}}, "x-rollout": {"web": {}}},
            f"{FILE}: service web has no image; a rollout does not build.",
        ),
        (
            {"services": {"web": {"image": "x"}}, "x-rollout": {"web": [1]}},
            f"{FILE}: x-rollout.web is [1]: expected a mapping.",
        ),
        (
            config(dedline=1),
            f"{FILE}: x-rollout.web has 'dedline'; known are {', '.join(GATE)}.",
        ),
        (
            {"services": {"web": {"image": "x", "scale": 2}}, "x-rollout": {"web": {}}},
            f"{FILE}: service web is to have 2 containers; a rollout replaces one by one. Name a service for each of them.",
        ),
        (
            {"services": {"web": {"image": "x", "deploy": {"replicas": 0}}}, "x-rollout": {"web": {}}},
            f"{FILE}: service web is to have 0 containers;",
        ),
        (
            {
                "services": {
                    "web": {"image": "x", "depends_on": {"job": {"condition": "service_completed_successfully"}}},
                    "job": {"image": "y"},
                },
                "x-rollout": {"web": {}},
            },
            f"{FILE}: service web waits until job has ended (service_completed_successfully); a gate asks of each service that it "
            "stays. Let web do at its start what job does.",
        ),
        (config(deadline="90"), f"{FILE}: x-rollout.web.deadline is '90': expected a number of seconds."),
        (config(deadline=True), "x-rollout.web.deadline is True: expected a number of seconds."),
        (config(successes=1.5), "x-rollout.web.successes is 1.5: expected a whole number."),
        (config(window="x"), "x-rollout.web.window is 'x': expected a number of seconds."),
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


RELATIVE = (
    "Each release has a directory of its own, which goes when the release is old: write an absolute path, or use a named volume."
)
HERE = compose.NOWHERE


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"services": {"db": {"volumes": [{"type": "bind", "source": f"{HERE}/pgdata"}]}}}, "services.db.volumes|pgdata"),
        ({"services": {"db": {"volumes": [{"type": "bind", "source": HERE}]}}}, "services.db.volumes|."),
        ({"services": {"db": {"volumes": [{"type": "bind", "source": "/.release/.release/up"}]}}}, "services.db.volumes|../up"),
        ({"configs": {"c": {"file": f"{HERE}/a/c.conf"}}}, "configs.c.file|a/c.conf"),
        ({"secrets": {"s": {"file": f"{HERE}/s"}}}, "secrets.s.file|s"),
        ({"volumes": {"v": {"driver_opts": {"device": f"{HERE}/v", "o": "bind"}}}}, "volumes.v.driver_opts.device|v"),
        ({"volumes": {"v": {"driver_opts": {"device": "./v", "o": "bind"}}}}, "volumes.v.driver_opts.device|v"),
    ],
)
def test_a_relative_path_is_refused(part, said):
    key, _bar, path = said.partition("|")
    with pytest.raises(RolloutError) as error:
        compose.rooted(part, FILE)
    assert str(error.value) == f"{FILE}: {key} has the relative path '{path}'. {RELATIVE}"


def test_other_paths_are_accepted():
    volumes = [
        {"type": "volume", "source": "data"},
        {"type": "bind", "source": "/srv/.release/x"},
        {"type": "tmpfs", "target": "/t"},
    ]
    compose.rooted(
        {
            "services": {"db": {"volumes": volumes, "build": {"context": HERE}}, "web": {"volumes": None}},
            "volumes": {"data": None, "nfs": {"driver_opts": {"device": ":/export"}}},
            "configs": {"c": {"content": "x"}},
            "secrets": {"s": {"environment": "X"}},
        },
        FILE,
    )
    compose.rooted({}, FILE)


def test_none_is_started_before_what_it_depends_on():
    after = {"app": ["model", "db"], "model": ["zoo"], "zoo": [], "db": ["zoo"], "other": []}
    specs = {name: {"image": "x", "depends_on": {one: {} for one in ones}} for name, ones in after.items()}
    found = compose.services({"services": specs, "x-rollout": dict.fromkeys(["app", "model", "zoo", "other"])}, FILE)
    # What is outside the release comes first all the same: it was there before.
    assert [s.name for s in found] == ["db", "zoo", "model", "app", "other"]


def test_unresolved_is_refused_for_released_services_alone():
    images = {"localhost:5000/ktrdr-backend": {}, "localhost:5000/ktrdr-worker-gpu": {}}
    compose.unresolved(CONFIG, images, FILE)
    with pytest.raises(RolloutError) as error:
        compose.unresolved(CONFIG, {"localhost:5000/ktrdr-backend": {}}, FILE)
    assert str(error.value).startswith(
        f"{FILE}: service trainer uses image localhost:5000/ktrdr-worker-gpu, which this run did not resolve "
        "(resolved: localhost:5000/ktrdr-backend). Add it to rollout_stacks.<stack>.images"
    )
    with pytest.raises(RolloutError, match=r"\(resolved: none\)"):
        compose.unresolved(CONFIG, {}, FILE)


def test_everything_wrong_with_a_file_is_said_at_once():
    document = {
        "services": {
            "web": {"image": "r/web:1", "scale": 2, "volumes": [{"source": "./data"}, {"source": "../x"}]},
            "job": {"depends_on": {"web": {"condition": "service_completed_successfully"}}},
        },
        "x-rollout": {"web": {"dedline": 1, "health": ["h:80"]}, "api": {}},
    }
    with pytest.raises(RolloutError) as error:
        compose.read(document, FILE, {}, {})
    starts = [
        f"{FILE}: services.web.volumes has the relative path '",
        f"{FILE}: services.web.volumes has the relative path '../",
        f"{FILE}: x-rollout names service api, which the file does not have.",
        f"{FILE}: service web is to have 2 containers;",
        f"{FILE}: x-rollout.web has 'dedline'; known are ",
        f"{FILE}: x-rollout.web.health has 'h:80': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        f"{FILE}: service job waits until web has ended",
        f"{FILE}: service job has no image;",
        f"{FILE}: service web uses image r/web, which this run did not resolve (resolved: none).",
    ]
    said = str(error.value).splitlines()
    assert [line[: len(start)] for line, start in zip(said, starts, strict=True)] == starts


def test_pins_name_tag_digest_and_labels_of_released_services():
    wanted = compose.services(CONFIG, FILE)
    digest = "sha256:" + "1" * 64
    images = {r: {"digest": digest} for r in ("localhost:5000/ktrdr-backend", "localhost:5000/ktrdr-worker-gpu", "postgres")}
    pinned = json.loads(compose.pins(wanted, images, "sha-abc1234"))["services"]
    assert set(pinned) == {"backend", "trainer"}
    assert pinned["backend"]["image"] == f"localhost:5000/ktrdr-backend:sha-abc1234@{digest}"
    assert pinned["backend"]["labels"] == {
        compose.RELEASE_LABEL: "sha-abc1234",
        compose.CONFIG_LABEL: wanted[1].config_hash,
    }


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
