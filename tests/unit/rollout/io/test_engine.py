from __future__ import annotations

import contextlib
import json
import os

import pytest
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine, engine_refusal, go_arch, images_root
from ansible.module_utils.rollout.io.logins import Credentials

INFO = {"ServerVersion": "24.0.7", "Architecture": "x86_64", "DockerRootDir": "/data/docker"}


def info(**facts):
    return f"info*) echo '{json.dumps({**INFO, **facts})}';;\n"


COMPOSE = "'compose version --short') echo v2.26.1;;\n"


def refused(call, *arguments):
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value)


def test_facts(docker):
    docker(info(ID="ABCD:1") + COMPOSE)
    assert Engine().facts() == {
        "engine": "24.0.7",
        "compose": "2.26.1",
        "arch": "amd64",
        "id": "ABCD:1",
        "data": "/data/docker",
    }


CONTAINERD = {"DockerRootDir": "/data/docker", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
OWN = {"Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"}}
HOSTS = {"Containerd": {"Address": "/run/containerd/containerd.sock"}}


@pytest.mark.parametrize(
    ("facts", "settings", "root"),
    [
        ({}, "", "/var/lib/docker"),
        ({"DockerRootDir": "/data/docker", "DriverStatus": [["Backing Filesystem", "extfs"]], **HOSTS}, "", "/data/docker"),
        ({**CONTAINERD, **HOSTS}, None, "/var/lib/containerd"),
        ({**CONTAINERD, **HOSTS}, 'version = 3\nroot = "/big/containerd"\n[debug]\n', "/big/containerd"),
        ({**CONTAINERD, **HOSTS}, "#root = '/a'\n", "/var/lib/containerd"),
        ({**CONTAINERD, **HOSTS}, 'version = 2\n[plugins.x]\nroot = "/other"\n', "/var/lib/containerd"),
        ({**CONTAINERD, **OWN}, 'root = "/big/containerd"', "/data/docker/containerd/daemon"),
        (
            {**CONTAINERD, "Containerd": {"Address": "/run/user/1000/docker/containerd/containerd.sock"}},
            "",
            "/data/docker/containerd/daemon",
        ),
    ],
)
def test_where_images_lie(tmp_path, facts, settings, root):
    path = tmp_path / "config.toml"
    if settings is not None:
        path.write_text(settings)
    assert images_root(facts, str(path)) == root


@pytest.mark.parametrize(("runs", "root"), [(True, "/var/lib/containerd"), (False, "/data/docker/containerd/daemon")])
def test_where_images_lie_as_an_older_engine_has_it(monkeypatch, runs, root):
    monkeypatch.setattr(os.path, "exists", lambda path: runs and path == "/run/containerd/containerd.sock")
    assert images_root(CONTAINERD, "/absent") == root


def test_the_facts_name_where_images_lie(docker):
    docker(info(**CONTAINERD, **OWN) + COMPOSE)
    assert Engine().facts()["data"] == "/data/docker/containerd/daemon"


@pytest.mark.parametrize(
    ("cases", "sentence"),
    [
        (
            info(ServerVersion="19.03.15") + COMPOSE,
            "Docker Engine 19.03.15 is too old: 20.10 or newer is needed. Upgrade it, or "
            "run ansible-playbook playbooks/prepare.yml.",
        ),
        (
            info(),
            "Docker Compose v2 is missing. Install the Compose plugin ('docker compose version' must work), or run "
            "ansible-playbook playbooks/prepare.yml.",
        ),
        (
            "info*) echo '{}'; echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1;;",
            "User karl is not allowed to use Docker: add the user to group docker (sudo usermod --append --groups docker karl, "
            "then log out and back in), or set ansible_become.",
        ),
        # Newer clients exit 0 and put the error into the document.
        (
            info(ServerVersion="", ServerErrors=["Got permission denied while trying to connect"]),
            "User karl is not allowed to use Docker",
        ),
        (
            "info*) echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1;;",
            "The Docker engine does not answer (Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?): "
            "start it with 'systemctl start docker', or run ansible-playbook playbooks/prepare.yml.",
        ),
        ("info*) exit 0;;", "The Docker engine does not answer (no message)"),
        ("info*) echo '{}';;", "The Docker engine does not answer (no message)"),
    ],
)
def test_facts_refusals(docker, cases, sentence):
    docker(cases)
    assert refused(Engine().facts).startswith(sentence)


def test_facts_are_kept(docker):
    calls = docker(info() + COMPOSE)
    engine = Engine()
    facts = engine.facts()
    docker(info(ServerVersion="28.0.0") + COMPOSE)
    assert engine.facts() == facts
    assert calls().count("compose version --short") == 1
    assert Engine().facts()["engine"] == "28.0.0"


def test_an_engine_that_was_refused_is_asked_again(docker):
    docker("info*) echo 'Cannot connect' >&2; exit 1;;")
    engine = Engine()
    assert refused(engine.facts).startswith("The Docker engine does not answer (Cannot connect)")
    docker(info() + COMPOSE)
    assert engine.facts()["engine"] == "24.0.7"


def test_only_compose_v1(docker):
    docker(info())
    docker("", "docker-compose")
    assert "Docker Compose v2 is missing. Only Compose v1 (docker-compose) is there." in refused(Engine().facts)


def test_of_the_events_of_a_project_and_of_nobody_elses(docker, monkeypatch):
    docker("")
    asked = []

    @contextlib.contextmanager
    def stream(path, **query):
        asked.append((path, query))
        yield None

    engine = Engine()
    monkeypatch.setattr(engine.api, "stream", stream)
    with engine.events("app-core") as events:
        assert events.wait(0.01) is False
    assert asked == [("/events", {"filters": {"type": ["container"], "label": ["com.docker.compose.project=app-core"]}})]


def test_composes_version_is_asked_meanwhile_and_told_by_whoever_needs_it(plugins):
    engine = Engine()
    assert "compose" not in engine.facts(compose=False)
    assert engine.facts()["compose"] == "2.26.1"
    assert plugins.calls().count("compose version --short") == 1


def test_a_host_without_compose_is_refused_by_whoever_needs_it(docker):
    docker(info())
    engine = Engine()
    assert engine.facts(compose=False)["engine"] == "24.0.7"
    for _ in range(2):
        assert refused(engine.facts).startswith("Docker Compose v2 is missing.")
    docker(info() + COMPOSE)
    assert engine.facts()["compose"] == "2.26.1"


def test_docker_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    sentence = "Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it."
    assert refused(Engine().facts) == sentence
    code, _out, err = Engine().run(["info"])
    assert code == 127
    assert str(engine_refusal(err, "karl")) == sentence


@pytest.mark.parametrize(
    ("machine", "arch"),
    [("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7l", "arm"), ("riscv64", "riscv64")],
)
def test_go_arch(machine, arch):
    assert go_arch(machine) == arch


def test_inspect_yields_those_that_exist(docker):
    docker(
        "'container inspect a') echo '[{\"Id\": \"a\"}]';;\n'container inspect b') echo 'No such container: b' >&2; exit 1;;\n"
        "'container inspect x') echo 'Cannot connect' >&2; exit 1;;"
    )
    assert Engine().inspect("container", []) == []
    assert Engine().inspect("container", ["a", "b"]) == [{"Id": "a"}]
    assert refused(Engine().inspect, "container", ["x"]) == "Inspecting container x failed: Cannot connect"


@pytest.mark.parametrize("words", ["Error: No such image: x", "Error response from daemon: not found"])
def test_an_image_that_is_not_here(docker, words):
    docker(f"*) echo '[]'; echo '{words}' >&2; exit 1;;")
    assert Engine().image("x") is None


def test_image(docker):
    docker("'image inspect x') echo '[{\"Id\": \"sha256:1\"}]';;\n*) echo 'Cannot connect' >&2; exit 1;;")
    assert Engine().image("x") == {"Id": "sha256:1"}
    assert refused(Engine().image, "y") == "Inspecting image y failed: Cannot connect"


def test_logs_of_both_streams_are_short(docker):
    docker("'logs --tail 15 c') echo out; echo err >&2;;\n'logs --tail 15 long') head -c 9999 /dev/zero | tr '\\0' x;;")
    assert Engine().logs("c") == "out\nerr"
    assert len(Engine().logs("long")) == 4000


def test_output_of_both_streams_in_its_order(docker):
    said = "'logs --timestamps --tail 2000 c')"
    docker(
        f"{said} printf '2026-01-01T00:00:00.1Z one\\n2026-01-01T00:00:00.3Z three\\n'; echo '2026-01-01T00:00:00.2Z two' >&2;;"
    )
    assert Engine().output("c") == "one\ntwo\nthree"


def test_one_off_containers_of_a_project(docker):
    inspected = {"Id": "a", "Image": "i", "State": {"Status": "running"}, "Config": {"Image": "x", "Labels": {}}}
    calls = docker(f"ps*) echo a;;\n'container inspect a') echo '{json.dumps([inspected])}';;")
    assert [c.id for c in Engine().one_offs("app-core", "rollout.job")] == ["a"]
    for label in ("com.docker.compose.project=app-core", "com.docker.compose.oneoff=True", "rollout.job"):
        assert f"label={label}" in calls()[0]


def test_held_ports(docker):
    docker(
        r"ps*) printf 'ktrdr-core\tktrdr-core-backend-1\t0.0.0.0:8000->8000/tcp, :::8000->8000/tcp\n"
        r"\tnginx\t127.0.0.1:8080->80/tcp, 10.0.0.1:53->53/udp\n\tidle\t9000/tcp\n\tquiet\t\n';;"
    )
    assert Engine().held_ports() == [
        (Port(8000, "tcp", "0.0.0.0"), "ktrdr-core"),
        (Port(8000, "tcp", "::"), "ktrdr-core"),
        (Port(8080, "tcp", "127.0.0.1"), "nginx"),
        (Port(53, "udp", "10.0.0.1"), "nginx"),
    ]


def test_containers_of_a_project(docker):
    inspected = {
        "Id": "a",
        "Image": "i",
        "State": {"Status": "running"},
        "Config": {"Image": "x", "Labels": {"com.docker.compose.service": "web"}},
    }
    calls = docker(f"ps*) echo a;;\n'container inspect a') echo '{json.dumps([inspected])}';;")
    assert [c.service for c in Engine().containers("ktrdr-core")] == ["web"]
    assert "label=com.docker.compose.project=ktrdr-core" in calls()[0]
    assert "label=com.docker.compose.oneoff=False" in calls()[0]


@pytest.mark.parametrize(("config", "said"), [("", "theirs"), ("/own", "/own")])
def test_configured(docker, monkeypatch, config, said):
    monkeypatch.setenv("DOCKER_CONFIG", "theirs")
    docker('x) echo "$DOCKER_CONFIG";;')
    engine = Engine(7.0)
    found = engine.configured(config, Credentials()) if config else engine
    assert found.checked(["x"], "X") == said + "\n"
    assert (found.timeout, engine.config) == (7.0, "")


@pytest.mark.parametrize(
    ("said", "facts"),
    [("Cannot connect to the Docker daemon", {"away": True}), ("permission denied while trying to connect", {})],
)
def test_an_engine_that_is_away_is_said_to_be(docker, said, facts):
    docker(f"ps*|info*) echo '{said}' >&2; exit 1;;\n")
    engine = Engine()
    assert not engine.answers()
    with pytest.raises(RolloutError, match="Listing containers failed") as error:
        engine.containers("app")
    assert error.value.facts == facts


def test_an_engine_that_is_there_answers(docker):
    docker(info())
    assert Engine().answers()


def test_networks_volumes_plugins_and_names(monkeypatch):
    said = {
        "/networks": [{"Name": "bridge"}],
        "/volumes/a b": {"Name": "a b"},
        "/plugins": [{"Name": "loki:latest", "Enabled": True}, {"Name": "old:latest", "Enabled": False}],
        "/info": {"NCPU": 2},
        "/containers/json": [
            {
                "Names": ["/web", "/other/alias"],
                "Labels": {"com.docker.compose.project": "app", "com.docker.compose.service": "web"},
                "State": "exited",
            },
            {"Names": ["/alone"], "Labels": None, "State": "running"},
        ],
    }
    engine = Engine()
    monkeypatch.setattr(engine, "get", lambda path, doing, **query: said.get(path))
    assert engine.networks() == [{"Name": "bridge"}]
    assert engine.volume("a b") == {"Name": "a b"}
    assert engine.volume("none") is None
    assert engine.plugins() == ["loki:latest"]
    assert engine.info() == {"NCPU": 2}
    exited = ("app", "web", "exited")
    assert engine.names() == {"web": exited, "other/alias": exited, "alone": ("", "", "running")}
    said.clear()
    assert (engine.networks(), engine.plugins(), engine.info(), engine.names()) == ([], [], {}, {})


def test_what_containers_mount(monkeypatch):
    asked = []

    def get(path, **query):
        asked.append((path, query))
        mounts = [{"Type": "bind", "Source": "/state/files/1/a"}, {"Type": "tmpfs"}]
        return 200, [{"Id": "1", "Mounts": mounts}, {"Id": "2", "Mounts": None}, {"Id": "3", "Mounts": mounts[:1]}]

    engine = Engine()
    monkeypatch.setattr(engine.api, "get", get)
    assert engine.mounted("rollout.config") == {"/state/files/1/a"}
    assert asked == [("/containers/json", {"all": "true", "filters": {"label": ["rollout.config"]}})]
