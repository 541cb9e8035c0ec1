"""What a container is compared by with what its files say: nothing that differs is overlooked."""

from __future__ import annotations

import copy
import json

import pytest
from ansible.module_utils.rollout.domain import likeness
from hypothesis import given
from hypothesis import strategies as st

IMAGE = {
    "Config": {
        "Env": ["PATH=/bin", "LANG=C"],
        "Entrypoint": ["/entry"],
        "Cmd": ["serve"],
        "Labels": {"of": "image"},
        "Volumes": {"/cache": {}},
        "User": "app",
        "WorkingDir": "/app",
    }
}
SPEC = {
    "image": "r/web:1",
    "command": ["run", "$$HOME"],
    "entrypoint": None,
    "environment": {"GREETING": "hi$$x", "UNSET": None},
    "labels": {"a": "b"},
    "ports": [
        {"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"},
        {"target": 53, "host_ip": "127.0.0.1", "protocol": "udp"},
    ],
    "volumes": [
        {"type": "bind", "source": "/srv/conf", "target": "/conf", "read_only": True, "bind": {"create_host_path": True}},
        {"type": "volume", "source": "data", "target": "/data", "volume": {}},
    ],
    "networks": {"default": {"aliases": ["front"], "ipv4_address": "10.0.0.9"}},
    "restart": "on-failure:3",
    "healthcheck": {"test": ["CMD", "true"], "interval": "1m30s", "retries": 2},
    "stop_grace_period": "30s",
    "container_name": "web",
    "cap_add": ["NET_ADMIN"],
    "extra_hosts": ["nas=10.0.0.1"],
    "read_only": True,
    "init": True,
    "logging": {"driver": "local", "options": {"max-size": "1m"}},
    "depends_on": {"db": {"condition": "service_started"}},
}
PROJECT = {"volumes": {"data": {"name": "p_data"}}, "networks": {"default": {"name": "p_default"}}, "services": {"web": SPEC}}
FOUND = {
    "Id": "0123456789abcdef",
    "Name": "/web",
    "Config": {
        "Env": ["PATH=/bin", "LANG=C", "GREETING=hi$x"],
        "Entrypoint": ["/entry"],
        "Cmd": ["run", "$HOME"],
        "Labels": {"of": "image", "a": "b", "com.docker.compose.service": "web"},
        "User": "app",
        "WorkingDir": "/app",
        "Hostname": "0123456789ab",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 90 * 10**9, "Retries": 2},
        "StopTimeout": 30,
    },
    "HostConfig": {
        "PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        },
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "NetworkMode": "p_default",
        "CapAdd": ["NET_ADMIN"],
        "ExtraHosts": ["nas:10.0.0.1"],
        "ReadonlyRootfs": True,
        "Init": True,
        "LogConfig": {"Type": "local", "Config": {"max-size": "1m"}},
        "IpcMode": "private",
        "ShmSize": 67108864,
    },
    "Mounts": [
        {"Type": "bind", "Source": "/srv/conf", "Destination": "/conf", "RW": False},
        {"Type": "volume", "Name": "p_data", "Destination": "/data", "RW": True},
        {"Type": "volume", "Name": "4711", "Destination": "/cache", "RW": True},
    ],
    "NetworkSettings": {"Networks": {"p_default": {"Aliases": ["front", "web"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}}},
}


def changed(thing, path, value):
    """A copy with another value at a path; without the key where that is None."""
    found = copy.deepcopy(thing)
    *way, last = path
    inner = found
    for key in way:
        inner = inner[key]
    inner[last] = value
    return found


def test_a_container_that_is_as_its_files_say():
    assert likeness.differences(SPEC, PROJECT, FOUND, IMAGE) == []


def test_one_that_asks_for_nothing_has_what_its_image_has():
    found = {
        "Id": "0123456789abcdef",
        "Config": {**{k: v for k, v in IMAGE["Config"].items() if k != "Volumes"}, "Hostname": "0123456789ab"},
        "HostConfig": {"RestartPolicy": {"Name": "no"}, "NetworkMode": "p_default", "LogConfig": {"Type": "json-file"}},
        "Mounts": [FOUND["Mounts"][2]],
        "NetworkSettings": {"Networks": {"p_default": {}}},
    }
    assert likeness.differences({"image": "r/web:1", "networks": {"default": None}}, PROJECT, found, IMAGE) == []


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("Config", "Env"), ["PATH=/bin", "LANG=C", "GREETING=ho"], "environment"),
        (("Config", "Env"), ["PATH=/bin", "LANG=C", "GREETING=hi$x", "MORE=1"], "environment"),
        (("Config", "Env"), ["PATH=/bin", "GREETING=hi$x"], "environment"),
        (("Config", "Entrypoint"), ["/other"], "entrypoint"),
        (("Config", "Cmd"), ["serve"], "command"),
        (("Config", "Labels"), {"of": "image"}, "labels"),
        (("Config", "Labels"), {"of": "image", "a": "b", "c": "d"}, "labels"),
        (("Config", "User"), "root", "user"),
        (("Config", "WorkingDir"), "/", "working_dir"),
        (("Config", "Hostname"), "other", "hostname"),
        (("Config", "StopTimeout"), 10, "stop_grace_period"),
        (("Config", "StopTimeout"), None, "stop_grace_period"),
        (("Config", "Healthcheck"), None, "healthcheck"),
        (("Config", "Healthcheck", "Interval"), 10**9, "healthcheck"),
        (("Config", "Healthcheck", "Retries"), 3, "healthcheck"),
        (("Config", "Healthcheck", "Timeout"), 10**9, "healthcheck"),
        (("Config", "Tty"), True, "tty"),
        (("Name",), "/other", "container_name"),
        (("HostConfig", "PortBindings"), None, "ports"),
        (("HostConfig", "PortBindings", "80/tcp"), [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "ports"),
        (("HostConfig", "RestartPolicy", "Name"), "always", "restart"),
        (("HostConfig", "RestartPolicy", "MaximumRetryCount"), 0, "restart"),
        (("HostConfig", "CapAdd"), None, "cap_add"),
        (("HostConfig", "CapDrop"), ["ALL"], "cap_drop"),
        (("HostConfig", "ExtraHosts"), [], "extra_hosts"),
        (("HostConfig", "Privileged"), True, "privileged"),
        (("HostConfig", "ReadonlyRootfs"), False, "read_only"),
        (("HostConfig", "Init"), None, "init"),
        (("HostConfig", "NetworkMode"), "host", "network_mode"),
        (("HostConfig", "LogConfig", "Config"), {}, "logging"),
        (("HostConfig", "Devices"), [{"PathOnHost": "/dev/sda"}], "Devices (not compared)"),
        (("HostConfig", "Memory"), 1, "Memory (not compared)"),
        (("HostConfig", "PidMode"), "host", "PidMode (not compared)"),
        (("HostConfig", "IpcMode"), "host", "IpcMode (not compared)"),
        (("HostConfig", "ShmSize"), 1, "ShmSize (not compared)"),
        (("Mounts",), [], "volumes"),
        (("Mounts", 0, "Source"), "/other", "volumes"),
        (("Mounts", 0, "RW"), True, "volumes"),
        (("Mounts", 1, "Name"), "other", "volumes"),
        (("Mounts", 1, "Type"), "bind", "volumes"),
        (("Mounts", 2, "Destination"), "/more", "volumes"),
        (("NetworkSettings", "Networks"), {}, "networks"),
        (("NetworkSettings", "Networks", "p_default", "Aliases"), ["web"], "networks"),
        (("NetworkSettings", "Networks", "p_default", "IPAMConfig"), None, "networks"),
        (("NetworkSettings", "Networks", "more"), {}, "networks"),
    ],
)
def test_a_container_with_something_else_is_not(path, value, word):
    assert likeness.differences(SPEC, PROJECT, changed(FOUND, path, value), IMAGE) == [word]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("command", None),
        ("entrypoint", ["x"]),
        ("environment", {}),
        ("labels", {}),
        ("ports", []),
        ("volumes", []),
        ("networks", {}),
        ("restart", None),
        ("healthcheck", {"disable": True}),
        ("healthcheck", None),
        ("stop_grace_period", None),
        ("user", "9"),
        ("stop_signal", "SIGINT"),
        ("cap_add", None),
        ("read_only", None),
        ("network_mode", "host"),
        ("hostname", "other"),
        ("deploy", {"resources": {"limits": {"memory": "1"}}}),
    ],
)
def test_files_that_say_something_else_are_not(key, value):
    assert key in likeness.differences({**SPEC, key: value}, PROJECT, FOUND, IMAGE)


@pytest.mark.parametrize("key", ["sysctls", "devices", "secrets", "configs", "tmpfs", "ulimits", "gpus", "something_new"])
def test_what_is_not_known_here_is_not_proven(key):
    assert likeness.differences({**SPEC, key: {"a": "b"}}, PROJECT, FOUND, IMAGE) == [f"{key} (not compared)"]


def test_no_value_is_told():
    other = changed(FOUND, ("Config", "Env"), ["PASSWORD=canary-1"])
    assert "canary" not in json.dumps(
        likeness.differences({**SPEC, "environment": {"PASSWORD": "canary-2"}}, PROJECT, other, IMAGE)
    )


@pytest.mark.parametrize(
    ("wrong", "said"), [(["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d"], "a, b, c and more")]
)
def test_differences_are_told_in_a_few_words(wrong, said):
    assert likeness.told(wrong) == said


TEXT = st.text("ab$=: ", max_size=4)
NAMES = st.sampled_from(["A", "B", "LANG"])
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "environment": st.dictionaries(NAMES, TEXT, max_size=3),
        "labels": st.dictionaries(NAMES, TEXT, max_size=2),
        "command": st.none() | st.lists(TEXT, max_size=2),
        "user": st.sampled_from(["app", "9"]),
        "restart": st.sampled_from(["no", "always", "on-failure:2"]),
        "privileged": st.booleans(),
        "cap_add": st.lists(st.sampled_from(["X", "Y"]), unique=True),
        "ports": st.lists(
            st.sampled_from([80, 443]).map(lambda port: {"target": port, "published": str(port)}), max_size=2, unique_by=str
        ),
        "volumes": st.lists(
            st.builds(
                lambda path, only: {"type": "bind", "source": path, "target": path, "read_only": only},
                st.sampled_from(["/a", "/b"]),
                st.booleans(),
            ),
            max_size=2,
            unique_by=lambda one: one["target"],
        ),
    },
)


def made(spec):
    """A container as Docker makes it, of a service with these keys."""
    own = IMAGE["Config"]
    policy, _colon, most = spec.get("restart", "no").partition(":")
    env = {**dict(one.split("=", 1) for one in own["Env"]), **spec.get("environment", {})}
    return {
        "Id": "0123456789abcdef",
        "Config": {
            "Env": [f"{name}={value}" for name, value in env.items()],
            "Entrypoint": own["Entrypoint"],
            "Cmd": own["Cmd"] if spec.get("command") is None else spec["command"],
            "Labels": {**own["Labels"], **spec.get("labels", {})},
            "User": spec.get("user") or own["User"],
            "WorkingDir": own["WorkingDir"],
            "Hostname": "0123456789ab",
        },
        "HostConfig": {
            "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(most or 0)},
            "Privileged": spec.get("privileged", False),
            "CapAdd": spec.get("cap_add"),
            "PortBindings": {
                f"{port['target']}/tcp": [{"HostIp": "", "HostPort": port["published"]}] for port in spec.get("ports", [])
            },
        },
        "Mounts": [
            {"Type": "bind", "Source": one["source"], "Destination": one["target"], "RW": not one["read_only"]}
            for one in spec.get("volumes", [])
        ],
        "NetworkSettings": {"Networks": {}},
    }


def printed(spec):
    """A service as Compose prints it: with each dollar sign twice."""
    twice = {key: {n: v.replace("$", "$$") for n, v in spec[key].items()} for key in ("environment", "labels") if key in spec}
    words = {"command": [one.replace("$", "$$") for one in spec["command"]]} if spec.get("command") else {}
    return {**spec, **twice, **words}


@given(ASKED, ASKED)
def test_a_container_is_like_those_services_alone_of_which_docker_makes_the_same(one, other):
    same = made(one) == made(other) or (
        # The order of these means nothing.
        {**made(one)["HostConfig"], "CapAdd": sorted(one.get("cap_add") or [])}
        == {**made(other)["HostConfig"], "CapAdd": sorted(other.get("cap_add") or [])}
        and made(one)["Config"] | {"Env": sorted(made(one)["Config"]["Env"])}
        == made(other)["Config"] | {"Env": sorted(made(other)["Config"]["Env"])}
        and sorted(map(str, made(one)["Mounts"])) == sorted(map(str, made(other)["Mounts"]))
    )
    assert likeness.differences(printed(one), PROJECT, made(one), IMAGE) == []
    assert (likeness.differences(printed(other), PROJECT, made(one), IMAGE) == []) is same
