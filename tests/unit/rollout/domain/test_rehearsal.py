from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import rehearsal
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.gate import Expectation, StartFirst

URL = "http://127.0.0.1:8000/health"
PORTS = [
    {"mode": "ingress", "target": 80, "published": "8000", "protocol": "tcp"},
    {"target": 443, "published": "8443", "host_ip": "192.168.1.2"},
    {"target": 53, "published": "8053", "protocol": "udp"},
    {"target": 9000},
]
DATABASE = {"type": "volume", "source": "data", "target": "/data", "volume": {"subpath": "a"}}
CONFIG = {
    "name": "app-core",
    "services": {
        "web": {
            "image": "r/web@sha256:1",
            "command": ["serve"],
            "container_name": "Website",
            "hostname": "web.example",
            "mac_address": "02:42:ac:11:65:43",
            "restart": "always",
            "ports": PORTS,
            "labels": {"traefik.enable": "true", "rollout.release": "sha-bbbbbbb"},
            "depends_on": {"db": {"condition": "service_started"}},
            "environment": {"A": "x$$y"},
            "deploy": {"replicas": 3, "resources": {"limits": {"memory": "1"}, "reservations": {"cpus": "1"}}},
            "networks": {"back": {"aliases": ["api"], "ipv4_address": "10.1.2.3", "priority": 5}, "front": None},
            "tmpfs": ["/run"],
            "volumes": [
                DATABASE,
                {"type": "volume", "source": "new", "target": "/new"},
                {"type": "volume", "target": "/nobody"},
                {"type": "bind", "source": "/srv/media", "target": "/media", "bind": {"propagation": "rslave"}},
                {"type": "bind", "source": "/srv/none", "target": "/none", "bind": {"create_host_path": True}},
                {"type": "tmpfs", "target": "/tmp"},
            ],
            "configs": [{"source": "settings", "target": "/settings"}],
            "secrets": [{"source": "key"}],
        },
        "db": {"image": "postgres:17"},
    },
    "networks": {"back": {"name": "app-core_back", "internal": True}, "front": {"name": "edge", "external": True}, "other": {}},
    "volumes": {"data": {"name": "app-core_data", "driver_opts": {"type": "nfs"}}, "new": {"name": "app-core_new"}, "db": {}},
    "configs": {"settings": {"content": "a: b"}, "unused": {"content": ""}},
    "secrets": {"key": {"environment": "KEY"}},
}


def service(**facts):
    return Service(**{"name": "web", "image": "r/web:1", "released": True, "health": (URL,), **facts})


def test_the_container_that_is_tried_is_the_service_and_nothing_that_two_cannot_be():
    assert rehearsal.document(CONFIG, "web", "app-core", "/state", {"app-core_new", "/srv/none"}) == {
        "services": {
            "web": {
                "image": "r/web@sha256:1",
                "command": ["serve"],
                "environment": {"A": "x$$y", "REHEARSAL": "1"},
                "labels": {"rollout.rehearsal": "/state"},
                "pull_policy": "never",
                "deploy": {"resources": {"limits": {"memory": "1"}}},
                "networks": {"back": {"priority": 5}, "front": {}},
                "tmpfs": ["/run"],
                "volumes": [
                    {**DATABASE, "read_only": True, "volume": {"subpath": "a", "nocopy": True}},
                    {"type": "volume", "target": "/new"},
                    {"type": "volume", "target": "/nobody"},
                    {
                        "type": "bind",
                        "source": "/srv/media",
                        "target": "/media",
                        "bind": {"propagation": "rslave"},
                        "read_only": True,
                    },
                    {"type": "volume", "target": "/none"},
                    {"type": "tmpfs", "target": "/tmp"},
                ],
                "configs": [{"source": "settings", "target": "/settings"}],
                "secrets": [{"source": "key"}],
            }
        },
        "networks": {"back": {"name": "app-core_back", "external": True}, "front": {"name": "edge", "external": True}},
        "volumes": {"data": {"name": "app-core_data", "external": True}},
        "configs": {"settings": {"content": "a: b"}},
        "secrets": {"key": {"environment": "KEY"}},
    }


def test_a_service_that_names_no_network_is_tried_on_the_default_one():
    config = {"services": {"web": {"image": "i"}}, "networks": {"default": {"name": "app-core_default"}}}
    found = rehearsal.document(config, "web", "app-core", "/state", ())
    assert found["networks"] == {"default": {"name": "app-core_default", "external": True}}
    assert found["services"]["web"]["networks"] == {"default": {}}


def test_a_service_without_a_network_is_tried_without_one():
    found = rehearsal.document({"services": {"web": {"image": "i", "network_mode": "none"}}}, "web", "app-core", "/state", ())
    assert found["services"]["web"]["network_mode"] == "none"
    assert "networks" not in found["services"]["web"]
    assert "networks" not in found


@pytest.mark.parametrize(
    ("url", "at"),
    [
        (URL, "http://127.0.0.1:80/health"),
        ("http://localhost:8000/health?deep=1", "http://localhost:80/health?deep=1"),
        ("http://[::1]:8000/", "http://[::1]:80/"),
        ("http://user:word@127.0.0.1:8000/", "http://user:word@127.0.0.1:80/"),
        ("https://192.168.1.2:8443/", "https://192.168.1.2:443/"),
        ("tcp://127.0.0.1:8000", "tcp://127.0.0.1:80"),
        ("http://web:8080/", "http://web:8080/"),
        ("http://website:8080/", "http://website:8080/"),
        # Not its own: another service, another host, a port of UDP, one that it does not publish.
        ("http://backend:8000/workers/web", ""),
        ("http://192.168.1.9:8000/", ""),
        ("http://127.0.0.1:8053/", ""),
        ("http://127.0.0.1:9000/", ""),
        ("http://127.0.0.1/", ""),
    ],
)
def test_a_url_goes_to_the_port_of_the_container_itself(url, at):
    found = rehearsal.own(service(health=(url,)), {"ports": PORTS, "container_name": "Website"})
    assert found == ((at,) if at else ())


def test_a_url_without_a_port_has_that_of_its_scheme():
    ports = [{"target": 8080, "published": "80"}]
    assert rehearsal.own(service(health=("http://127.0.0.1/",)), {"ports": ports}) == ("http://127.0.0.1:8080/",)


@pytest.mark.parametrize(
    ("facts", "spec", "why"),
    [
        ({}, {}, ""),
        ({"released": False}, {}, "it is kept"),
        ({"start_first": StartFirst("proxy", 80)}, {}, "start_first"),
        ({"torch": Expectation("cuda")}, {}, "GPU"),
        ({"torch": Expectation("absent")}, {}, ""),
        ({}, {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "count": -1}]}}}}, "GPU"),
        ({}, {"gpus": [{"count": 1}]}, "GPU"),
        ({}, {"runtime": "nvidia"}, "GPU"),
        ({}, {"devices": [{"source": "/dev/ttyUSB0", "target": "/dev/ttyUSB0"}]}, "devices"),
        ({}, {"network_mode": "host"}, "network_mode host"),
        ({}, {"network_mode": "service:vpn"}, "network_mode service:vpn"),
        ({}, {"network_mode": "container:vpn"}, "network_mode container:vpn"),
        ({}, {"network_mode": "bridge"}, ""),
        ({}, {"ipc": "service:db"}, "ipc service:db"),
        ({}, {"ipc": "shareable"}, ""),
        ({}, {"ipc": "host"}, ""),
        ({}, {"pid": "host"}, "pid host"),
        ({}, {"privileged": True}, "privileged"),
        ({}, {"pid": "container:db"}, "pid container:db"),
        ({}, {"volumes_from": ["db"]}, "volumes_from"),
        ({}, {"links": ["db:database"]}, "links"),
        ({"health": ("http://127.0.0.1:8080/",)}, {}, "none of its health URLs"),
        ({"health": ("http://127.0.0.1:8080/",), "exec": ("true",)}, {}, ""),
        ({"health": ()}, {}, ""),
    ],
)
def test_what_cannot_be_tried_says_why(facts, spec, why):
    said = rehearsal.hindrance(service(**facts), {"ports": PORTS, **spec})
    assert why in said if why else said == ""


@pytest.mark.parametrize(
    ("there", "rootless", "facts", "why"),
    [
        ({"back": "bridge", "front": "overlay"}, False, {}, ""),
        ({"front": "bridge"}, False, {}, "its network back is not there yet"),
        ({"back": "macvlan", "front": "bridge"}, False, {}, "would take an address in its network back (macvlan)"),
        ({"back": "bridge", "front": "bridge"}, True, {}, "rootless"),
        ({"back": "bridge", "front": "bridge"}, True, {"health": ()}, ""),
    ],
)
def test_where_a_container_is_not_reached_none_is_tried(there, rootless, facts, why):
    said = rehearsal.unreachable(service(**facts), ["back", "front"], there, rootless)
    assert why in said if why else said == ""


def test_new_code_does_not_meet_the_old_schema():
    assert rehearsal.unfit([]) == ""
    assert rehearsal.unfit(["migrate", "index"]).startswith("job migrate and index run before the switch")


def test_a_container_apart_has_nothing_of_the_data():
    spec = {
        "image": "postgres:17",
        "environment": {"POSTGRES_PASSWORD": "word"},
        "networks": {"back": None},
        "ipc": "service:web",
        "volumes": [
            {"type": "volume", "source": "db", "target": "/var/lib/postgresql/data"},
            {"type": "volume", "source": "shared", "target": "/shared", "read_only": True},
            {"type": "bind", "source": "/srv/wal", "target": "/wal"},
            {"type": "bind", "source": "/srv/init", "target": "/docker-entrypoint-initdb.d", "read_only": True},
        ],
    }
    config = {"services": {"db": spec}, "volumes": {"db": {"name": "app-core_db"}, "shared": {"name": "app-core_shared"}}}
    found = rehearsal.apart(config, "db", "/state")
    assert found["services"]["db"] == {
        "image": "postgres:17",
        "environment": {"POSTGRES_PASSWORD": "word", "REHEARSAL": "1"},
        "labels": {"rollout.rehearsal": "/state"},
        "pull_policy": "never",
        "network_mode": "none",
        "volumes": [
            {"type": "volume", "target": "/var/lib/postgresql/data"},
            {**spec["volumes"][1], "volume": {"nocopy": True}},
            {"type": "volume", "target": "/wal"},
            spec["volumes"][3],
        ],
    }
    assert found["volumes"] == {"shared": {"name": "app-core_shared", "external": True}}
