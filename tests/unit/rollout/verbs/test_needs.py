"""What a host is asked while it stages, and what is said of what it lacks."""

from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.rollout.domain.networks import Route
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine, routes
from ansible.module_utils.rollout.verbs import restage, stage
from story import order, stack

INFO = {"NCPU": 2, "MemTotal": 8 * 10**9, "Runtimes": {"runc": {}}, "Plugins": {"Log": ["json-file"]}}
GPU = {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}}}}


@pytest.fixture(autouse=True)
def here(host, monkeypatch):
    monkeypatch.setattr(routes, "routes", lambda: [Route("192.0.2.0/24", "eth0")])
    host.engine.said["/info"] = INFO
    return host


def text_of(letter="a", service="web", top=None, **spec):
    document = json.loads(stack(f"sha-{letter * 7}"))
    document["services"][service].update(spec)
    return json.dumps({"name": "check", **document, **(top or {})})


def refused(host, text, check=False, letter="b"):
    host.engine.calls.clear()
    with pytest.raises(RolloutError) as error:
        stage.stage(host.store, host.engine, order(letter, text), check)
    assert host.engine.touched == []
    return str(error.value).splitlines()


@pytest.mark.parametrize("check", [True, False])
def test_all_that_is_not_there_is_told_at_once_and_nothing_is_touched(host, tmp_path, monkeypatch, check):
    host.rollout("a")
    running = host.engine.running()
    host.engine.add("other", "x", {"image": "postgres:17"})
    host.engine.made[-1]["Name"] = "/taken"
    host.engine.ports = [(Port(80), "squid")]
    monkeypatch.setattr(machine, "free_bytes", lambda path: 0)
    text = text_of(
        "b",
        top={
            "networks": {"proxy": {"external": True, "name": "proxy-net"}},
            "volumes": {"m": {"external": True, "name": "media"}},
        },
        container_name="taken",
        runtime="kata",
        cpus=64,
        mem_limit="9000000000",
        devices=[{"source": str(tmp_path / "none"), "target": "/dev/x"}],
        volumes=[{"type": "bind", "source": f"{tmp_path}/nas", "target": "/m", "bind": {}}],
        logging={"driver": "loki"},
        healthcheck={"start_interval": "1s"},
        ports=[{"published": "80", "target": 80}],
    )
    said = refused(host, text, check)
    words = [
        "Port 80",
        "start_interval",
        "proxy-net",
        "media",
        "/nas",
        "kata",
        "/none",
        "cpus 64",
        "9.0 GB",
        "loki",
        "taken",
        "to unpack",
        "for temporary files",
    ]
    assert len(said) == len(words)
    for word in words:
        assert [word in sentence for sentence in said].count(True) == 1, word
    assert host.engine.running() == {**running, "x": host.engine.running()["x"]}


def test_what_is_there_is_staged(host, tmp_path):
    (tmp_path / "nas").mkdir()
    host.engine.said["/networks"] = [{"Name": "proxy-net", "Labels": {}}]
    host.engine.said["/volumes/media"] = {"Name": "media", "Driver": "local", "Options": None}
    text = text_of(
        top={
            "networks": {"proxy": {"external": True, "name": "proxy-net"}},
            "volumes": {"m": {"external": True, "name": "media"}},
        },
        devices=["/dev/null:/dev/null"],
        volumes=[{"type": "bind", "source": f"{tmp_path}/nas", "target": "/m", "bind": {}}],
        container_name="web",
    )
    host.rollout("a", stacks={"core": text})
    # Its own container has the name now.
    host.engine.made[0]["Name"] = "/web"
    assert stage.stage(host.store, host.engine, order("b", text.replace("sha-a", "sha-b")), False)["changed"]


def test_a_rollback_asks_as_well(host):
    top = {"volumes": {"m": {"external": True, "name": "media"}}}
    host.engine.said["/volumes/media"] = {"Name": "media"}
    host.rollout("a", stacks={"core": text_of(top=top)})
    host.rollout("b")
    del host.engine.said["/volumes/media"]
    with pytest.raises(RolloutError) as error:
        restage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert str(error.value) == (
        "docker-compose.core.yml: volume m is external, and this host has no volume media. Create it there: docker volume create media"
    )


def test_a_volume_that_is_defined_otherwise_is_refused(host):
    host.engine.said["/volumes/app-core_m"] = {"Name": "app-core_m", "Driver": "local", "Options": None}
    (said,) = refused(
        host, text_of("b", top={"volumes": {"m": {"name": "check_m", "driver_opts": {"type": "nfs", "device": ":/x"}}}})
    )
    assert said.startswith(
        "Volume app-core_m of project app-core is not what docker-compose.core.yml says: it has driver_opts none"
    )


def test_a_kept_service_that_runs_is_left_alone(host):
    host.rollout("a")
    text = text_of("b", "db", runtime="kata")
    assert stage.stage(host.store, host.engine, order("b", text), True)["changed"]
    host.edit("db", State={"Status": "exited"})
    assert "service db asks for runtime kata" in refused(host, text)[0]


def test_files_that_come_with_the_release_need_not_be_there(host):
    mount = {"type": "bind", "source": f"{host.store.root}/files/0a/x.yml", "target": "/x", "bind": {}}
    assert stage.stage(host.store, host.engine, order("a", text_of(volumes=[mount])), True)["changed"]
    data = {**mount, "source": f"{host.store.root}/data/core/db"}
    assert "/data/core/db, which does not exist" in refused(host, text_of("b", volumes=[data]))[0]


def test_what_this_user_may_not_see_may_be_there(host, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    mount = {"type": "bind", "source": f"{tmp_path}/file/below", "target": "/x", "bind": {}}
    assert "/file/below, which does not exist" in refused(host, text_of("b", volumes=[mount]))[0]

    lstat = os.lstat

    def denied(path, **how):
        if str(path).endswith("/file/below"):
            raise PermissionError(13, "Permission denied", path)
        return lstat(path, **how)

    monkeypatch.setattr(os, "lstat", denied)
    assert stage.stage(host.store, host.engine, order("b", text_of("b", volumes=[mount])), True)["changed"]


class TestCards:
    def test_a_gpu_without_a_torch_gate_needs_a_card_too(self, host, card):
        assert stage.stage(host.store, host.engine, order("a", text_of(**GPU)), True)["changed"]
        card.facts = {"driver": {}, "nodes": []}
        (said,) = refused(host, text_of("b", **GPU))
        assert said.startswith(
            "Service web needs the GPU, and this host has none to give to a new container: no NVIDIA driver is loaded"
        )

    def test_with_a_torch_gate_it_is_said_once(self, host, card):
        card.facts = {"driver": {}, "nodes": []}
        document = json.loads(text_of("b", **GPU))
        document["x-rollout"]["web"]["torch"] = "cuda"
        assert len(refused(host, json.dumps(document))) == 1

    def test_a_card_that_is_not_there(self, host, card):
        card.facts = {**card.facts, "cards": [{"index": "0", "uuid": "GPU-aa"}]}
        asked = json.loads(json.dumps(GPU).replace('"count": 1', '"device_ids": ["1"]'))
        (said,) = refused(host, text_of("b", **asked))
        assert (
            said == "docker-compose.core.yml: service web asks for GPU 1, and this host has GPU 0. Correct count or device_ids."
        )

    def test_a_card_of_amd_has_no_driver_of_nvidia(self, host, card):
        card.facts = {"driver": {}, "nodes": []}
        host.engine.said["/info"] = {**INFO, "DiscoveredDevices": [{"Source": "cdi", "ID": "amd.com/gpu=0"}]}
        assert stage.stage(host.store, host.engine, order("a", text_of(gpus=None, **GPU)), True)["changed"]


def test_what_compose_leaves_out_is_read_in_the_file(host):
    said = refused(host, text_of("b", networks={"default": {}}, labels={"note": "gw_priority: 3"}))
    assert said == [
        "docker-compose.core.yml: a network of a service uses gw_priority, which needs Docker Compose 2.33.1 or newer; this host has "
        "2.26.1. Upgrade it there, or remove gw_priority from the file."
    ]
