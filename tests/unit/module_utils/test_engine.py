from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import stat
import sys
import time
from pathlib import Path

import fake_dial
import pytest
from ansible.module_utils.rollout import engine as engines
from ansible.module_utils.rollout.engine import (
    Engine,
    Events,
    Stack,
    engine_refusal,
    go_arch,
    last_words,
    scrubbed,
    version_tuple,
)
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.ports import Port

INFO = {"ServerVersion": "24.0.7", "Architecture": "x86_64", "DockerRootDir": "/data/docker"}


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a `docker` first on PATH that answers by the cases of a shell `case "$*"`; its calls are in calls()."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("USER", "karl")

    def make(cases, name="docker"):
        script = tmp_path / name
        script.write_text(
            f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in\n'
            f"'system dial-stdio') exec {sys.executable} {fake_dial.__file__} \"$0\";;\nesac\n"
            f'echo "$*" >> {tmp_path}/calls\ncase "$*" in\n{cases}\n*) exit 64;;\nesac\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return make


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
            "then log in anew), or set ansible_become.",
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


@pytest.fixture
def plugins(docker, tmp_path, monkeypatch):
    """Docker as its packages lay it out: the program, Compose as a plugin of every user, and a user's settings."""
    calls = docker("'compose version --short') echo v2.26.1;; compose*) echo by docker;;\n" + info())
    monkeypatch.setattr(engines, "_DOCKER", (str(tmp_path / "docker"),))
    monkeypatch.setattr(engines, "_SOCKET", f"unix://{tmp_path}/nobody")
    monkeypatch.setattr(engines, "_PLUGINS", (str(tmp_path / "none"), str(tmp_path / "all")))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "user"))
    for place in ("all", "user/cli-plugins"):
        (tmp_path / place).mkdir(parents=True)

    def lay(place="all", version="echo 2.26.1"):
        script = tmp_path / place / "docker-compose"
        script.write_text(f'#!/bin/sh\nif [ "$*" = "version --short" ]; then {version}; else echo "by {place}: $*"; fi\n')
        script.chmod(0o755)

    lay.calls = calls
    return lay


def test_compose_is_started_directly_where_docker_would_start_it(plugins):
    plugins()
    engine = Engine()
    assert engine.run(["compose", "--file", "-", "config"]) == (0, "by all: --file - config\n", "")
    # Everything else is docker's.
    assert engine.run(["ps"])[0] == 64
    assert plugins.calls() == ["ps"]


def test_a_users_own_compose_comes_first_as_docker_has_it(plugins):
    plugins()
    plugins("user/cli-plugins")
    assert Engine().run(["compose", "ps"])[1] == "by user/cli-plugins: ps\n"


@pytest.mark.parametrize("version", ["exit 1", "echo Usage", "exec no-such-program", "printf '\\377'"])
def test_a_plugin_that_is_no_program_by_itself_is_left_to_docker(plugins, version):
    plugins(version=version)
    assert Engine().run(["compose", "ps"])[1] == "by docker\n"


def test_where_plugins_may_be_elsewhere_docker_finds_them(plugins, tmp_path):
    plugins()
    (tmp_path / "user/config.json").write_text(json.dumps({"cliPluginsExtraDirs": ["/opt/plugins"]}))
    assert Engine().run(["compose", "ps"])[1] == "by docker\n"


def test_what_is_called_docker_and_is_elsewhere_has_its_own_compose(plugins, monkeypatch):
    plugins()
    monkeypatch.setattr(engines, "_DOCKER", ("/usr/bin/docker",))
    assert Engine().run(["compose", "ps"])[1] == "by docker\n"


@pytest.mark.parametrize(
    ("environment", "current", "path"),
    [
        ({}, None, "/usual.sock"),
        ({"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}, None, "/run/user/1000/docker.sock"),
        # It beats every context, also where it is empty.
        ({"DOCKER_HOST": "unix:///mine", "DOCKER_CONTEXT": "rootless"}, "rootless", "/mine"),
        ({"DOCKER_HOST": ""}, "rootless", "/usual.sock"),
        ({"DOCKER_HOST": "ssh://ada@far"}, None, ""),
        ({"DOCKER_HOST": "tcp://127.0.0.1:2375"}, None, ""),
        ({"DOCKER_CONTEXT": "rootless"}, None, ""),
        ({}, "rootless", ""),
        ({"DOCKER_CONTEXT": "default"}, "rootless", "/usual.sock"),
        ({}, "default", "/usual.sock"),
    ],
)
def test_the_engines_socket_is_used_where_docker_would_use_it(plugins, tmp_path, monkeypatch, environment, current, path):
    monkeypatch.setattr(engines, "_SOCKET", "unix:///usual.sock")
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "user/config.json").write_text(json.dumps({"currentContext": current} if current else {}))
    assert Engine()._socket() == path
    # What is called docker and is elsewhere may go anywhere.
    monkeypatch.setattr(engines, "_DOCKER", ("/usr/bin/docker",))
    assert Engine()._socket() == ""


def test_of_events_it_is_told_that_there_was_one():
    ours, its = socket.socketpair()
    with ours, its:
        events = Events(ours)
        assert events.wait(0.01) is False
        its.sendall(b"{}\n")
        assert events.wait(60) is True
        assert events.wait(0.01) is False
        its.close()
        # The engine is gone, and is not asked again.
        assert [events.wait(60), events.wait(0.01)] == [False, False]


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


def test_a_plugin_is_asked_for_its_version_once(plugins, tmp_path):
    plugins(version=f"echo asked >> {tmp_path}/asked; echo v2.30.0")
    engine = Engine()
    assert engine.facts()["compose"] == "2.30.0"
    assert engine.run(["compose", "ps"])[1] == "by all: ps\n"
    assert (tmp_path / "asked").read_text() == "asked\n"


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
    assert engine_refusal(err, "karl") == sentence


def test_no_answer_in_time(docker):
    docker("*) exec sleep 5;;")
    assert Engine(0.1).run(["ps"]) == (124, "", "docker ps gave no answer in 0 s")


def test_a_child_of_docker_that_hangs_is_ended_too(docker, tmp_path):
    docker(f"*) sleep 30 & echo $! > {tmp_path}/child; wait;;")
    began = time.monotonic()
    assert Engine(1.0).run(["compose"])[0] == 124
    assert time.monotonic() - began < 10
    # It was killed: gone in a moment, or dead and waiting for whoever adopted it.
    status = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/status")
    while time.monotonic() - began < 20 and status.exists() and "State:\tZ" not in status.read_text():
        time.sleep(0.01)
    assert time.monotonic() - began < 20


def test_a_child_that_docker_leaves_with_its_pipes_is_not_waited_for(docker):
    docker("*) sleep 30 & echo done;;")
    began = time.monotonic()
    assert Engine(25.0).run(["compose"], stdin="x" * 10**6)[0] == 0
    assert time.monotonic() - began < 20


def test_an_exported_variable_never_reaches_docker(docker, monkeypatch):
    monkeypatch.setenv("IMAGE_TAG", "canary")
    docker('x) echo "tag=$IMAGE_TAG extra=$EXTRA";;')
    assert Engine().checked(["x"], "X", extra={"EXTRA": "1"}) == "tag= extra=1\n"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("PATH", True),
        ("HOME", True),
        ("DOCKER_HOST", True),
        ("DOCKER_CONTEXT", True),
        ("HTTPS_PROXY", True),
        ("no_proxy", True),
        ("SSL_CERT_FILE", True),
        ("DOCKER_DEFAULT_PLATFORM", False),
        ("IMAGE_TAG", False),
        ("COMPOSE_FILE", False),
        ("COMPOSE_PROJECT_NAME", False),
        ("KTRDR_DATABASE_PASSWORD", False),
        ("XPATH", False),
        ("PATHX", False),
    ],
)
def test_scrubbed(name, kept):
    assert scrubbed({name: "x"}) == ({name: "x"} if kept else {})


def test_checked_says_what_was_done_and_the_last_words(docker):
    docker("x) echo 'level=warning msg=w' >&2; echo one >&2; echo two >&2; echo three >&2; exit 3;;\ny) echo out; exit 1;;")
    assert refused(Engine().checked, ["x"], "Starting web") == "Starting web failed: two; three"
    assert refused(Engine().checked, ["y"], "Starting web") == "Starting web failed: out"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no message"),
        ("\n \n", "no message"),
        ("a\n\n b \n", "a; b"),
        ("a\nb\nc", "b; c"),
        ("time=x level=warning msg=y", "no message"),
        ("x" * 999, "x" * 600),
    ],
)
def test_last_words(text, words):
    assert last_words(text) == words


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("v2.26.1-4", (2, 26, 1)),
        ("28.2", (28, 2)),
        ("24.0.0-rc.1", (24, 0, 0)),
        ("dev", ()),
    ],
)
def test_version_tuple(version, numbers):
    assert version_tuple(version) == numbers


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


@pytest.mark.parametrize(
    ("words", "tries"),
    [
        ("unexpected EOF", 3),
        ("unauthorized: token", 1),
        ("manifest unknown", 1),
        ("no space left on device", 1),
        ("no matching manifest for linux/arm64", 1),
        ("TLS handshake timeout", 3),
    ],
)
def test_pull_tries_again_where_that_can_help(docker, words, tries):
    calls = docker(f"*) echo '{words}' >&2; exit 1;;")
    assert refused(Engine().pull, "r@d") == f"Image r@d could not be pulled: {words}"
    assert calls() == ["pull r@d"] * tries


def test_pull_that_works_at_the_second_try(docker, tmp_path):
    calls = docker(f"pull*) test -e {tmp_path}/once && exit 0; touch {tmp_path}/once; echo EOF >&2; exit 1;;")
    Engine().pull("r@d")
    assert len(calls()) == 2


def watched(*arguments, quiet=5.0, engine=None):
    """Exit status, stderr, and what was seen."""
    pieces = []
    code, err = (engine or Engine()).watch(arguments, quiet, pieces.append)
    return code, err, "".join(pieces)


def open_files():
    # What another test has left to the collector is closed now, and not between two looks.
    gc.collect()
    return sorted(os.listdir("/proc/self/fd"))


def test_what_is_watched_has_a_wide_terminal_and_no_input(docker):
    docker("x) test -t 1 && stty size <&1; cat; test -t 2 || echo no >&2;;")
    assert watched("x") == (0, "no\n", "50 200\r\n")


def test_what_is_watched_fails(docker):
    docker("x) echo out; echo one >&2; echo two >&2; exit 3;;")
    assert watched("x") == (3, "one\ntwo\n", "out\r\n")


def test_what_is_watched_is_seen_as_it_comes(docker, tmp_path):
    os.mkfifo(tmp_path / "go")
    docker(f"x) printf one; read line < {tmp_path}/go; printf two;;")
    pieces = []

    def seen(piece):
        pieces.append(piece)
        if pieces == ["one"]:
            (tmp_path / "go").write_text("\n")

    assert Engine().watch(["x"], 5.0, seen) == (0, "")
    assert pieces == ["one", "two"]


def test_a_flood_is_seen_whole_and_a_torn_character_does_not_matter(docker):
    docker("x) head -c 300000 /dev/zero | tr '\\0' x; printf '\\303';;")
    assert watched("x") == (0, "", "x" * 300_000 + "\ufffd")


def test_what_is_watched_has_only_its_own_environment(docker, monkeypatch):
    monkeypatch.setenv("IMAGE_TAG", "canary")
    monkeypatch.setenv("DOCKER_CONFIG", "theirs")
    docker('x) echo "$IMAGE_TAG $DOCKER_CONFIG";;')
    assert watched("x")[2] == " theirs\r\n"
    assert watched("x", engine=Engine(config="/own"))[2] == " /own\r\n"


def test_what_says_nothing_is_ended(docker, tmp_path):
    docker(f"x) printf one; echo $$ > {tmp_path}/pid; exec sleep 60;;")
    assert watched("x", quiet=0.3) == (124, "no byte came for 0 s", "one")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_says_nothing_is_ended_with_its_children(docker):
    docker("x) printf one; sleep 30;;")
    began = time.monotonic()
    assert watched("x", quiet=0.2) == (124, "no byte came for 0 s", "one")
    assert time.monotonic() - began < 20


def test_an_absent_docker_cannot_be_watched(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert watched("x") == (127, "docker: command not found", "")


@pytest.mark.parametrize("ends", ["well", "quiet", "seen", "absent"])
def test_watching_leaves_no_file_open_and_no_process(docker, tmp_path, ends):
    if ends != "absent":
        docker(f"x) echo $$ > {tmp_path}/pid; printf one; {'' if ends == 'well' else 'exec sleep 60'};;")

    def seen(piece):
        assert ends != "seen"

    before = open_files()
    with contextlib.suppress(AssertionError):
        Engine().watch(["x"], 0.3, seen)
    assert open_files() == before
    if ends != "absent":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_pull_tells_how_far_it_is(docker):
    layer = "cafa9637794d: Downloading [=> ]"
    docker(f"pull*) printf '{layer}  1MB/3MB\\r'; printf '{layer}  2MB/3MB\\r'; echo 'cafa9637794d: Pull complete';;")
    told = []
    Engine().pull("r@d", told=told.append)
    assert told == sorted(told)
    assert told[-1] == 3_000_000


def test_a_pull_that_is_tried_again_begins_at_nothing(docker, tmp_path):
    docker(
        f"pull*) test -e {tmp_path}/once && {{ echo 'Digest: x'; exit 0; }}; touch {tmp_path}/once\n"
        "echo 'cafa9637794d: Downloading [=> ]  1MB/3MB'; exit 1;;"
    )
    told = []
    Engine().pull("r@d", told=told.append)
    assert told == [1_000_000, 0]


def test_a_pull_that_stalls_is_tried_again(docker):
    calls = docker("pull*) exec sleep 60;;")
    assert refused(Engine().pull, "r@d", 2, 0.2) == "Image r@d could not be pulled: no byte came for 0 s"
    assert calls() == ["pull r@d"] * 2


def test_logs_of_both_streams_are_short(docker):
    docker("'logs --tail 15 c') echo out; echo err >&2;;\n'logs --tail 15 long') head -c 9999 /dev/zero | tr '\\0' x;;")
    assert Engine().logs("c") == "out\nerr"
    assert len(Engine().logs("long")) == 4000


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


@pytest.mark.parametrize(("recreate", "flag"), [(True, "--force-recreate"), (False, "--no-recreate")])
def test_up_starts_one_service_from_the_releases_own_files(docker, tmp_path, recreate, flag):
    calls = docker("compose*) exit 0;;")
    Stack(Engine(), "ktrdr-core", tmp_path, "f.yml", "p.json").up(["web"], recreate, 5)
    assert calls() == [
        f"compose --project-name ktrdr-core --project-directory {tmp_path} --env-file {tmp_path}/.env --file {tmp_path}/f.yml "
        f"--file {tmp_path}/p.json up --detach --no-deps --no-build --pull never {flag} web"
    ]


@pytest.mark.parametrize(("grace", "words"), [(None, "stop web"), (1, "stop --timeout 1 web")])
def test_stop(docker, tmp_path, grace, words):
    calls = docker("compose*) ;;\n")
    Stack(Engine(), "app-core", tmp_path, "docker-compose.core.yml").stop(["web"], 10, grace)
    assert calls()[0].endswith(words)


def test_config_and_its_failure(docker, tmp_path):
    docker("*f.yml*) echo '{\"services\": {}}';;\n*) echo 'yaml: line 3: mapping' >&2; exit 15;;")
    assert Stack(Engine(), "p", tmp_path, "f.yml").config() == {"services": {}}
    assert refused(Stack(Engine(), "p", tmp_path, "g.yml").config) == "Reading g.yml failed: yaml: line 3: mapping"


def test_compose_is_asked_once_for_the_same_content(docker):
    calls = docker("x*) echo said;;")
    engine = Engine()
    asked = [engine.composed(["text"], ["x"], "Reading x") for _ in range(3)]
    assert [one.result() for one in asked] == ["said\n"] * 3
    assert engine.composed(["text"], ["x"], "Reading x").result() == "said\n"
    assert calls() == ["x"]
    # For another content, or asked otherwise, it is not the same; nor is it another engine's.
    engine.composed(["other"], ["x"], "Reading x").result()
    engine.composed(["text"], ["x", "y"], "Reading x").result()
    Engine().composed(["text"], ["x"], "Reading x").result()
    assert calls() == ["x", "x", "x y", "x"]


def test_compose_is_asked_again_after_a_failure(docker, tmp_path):
    calls = docker(f"x) test -e {tmp_path}/repaired || {{ echo 'no space left' >&2; exit 1; }};;")
    engine = Engine()
    for _ in range(2):
        assert refused(engine.composed(["text"], ["x"], "Reading x").result) == "Reading x failed: no space left"
    (tmp_path / "repaired").touch()
    for _ in range(2):
        assert engine.composed(["text"], ["x"], "Reading x").result() == ""
    assert calls() == ["x"] * 3


def test_two_questions_of_compose_are_asked_at_once(docker, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    # The one ends when the other is there.
    docker(f"writes) echo met > {tmp_path}/fifo;;\nreads) cat {tmp_path}/fifo;;")
    engine = Engine(20.0)
    reads, writes = (engine.composed([], [word], "Meeting") for word in ("reads", "writes"))
    assert (reads.result(), writes.result()) == ("met\n", "")


@pytest.mark.parametrize("changed", [".env", "f.yml", "p.json"])
@pytest.mark.parametrize("change", ["come", "other", "gone"])
def test_a_changed_file_is_noticed(docker, tmp_path, changed, change):
    directory = tmp_path / "release"
    directory.mkdir()
    for name in (".env", "f.yml", "p.json"):
        (directory / name).write_text("{}")
    file = directory / changed
    if change == "come":
        file.unlink()
    calls = docker(f'compose*) printf \'{{"found": "%s"}}\' "$(cat {file} 2>&1 | head -c 3)";;')
    stack = Stack(Engine(), "p", directory, "f.yml", "p.json")
    before = stack.config()
    assert stack.config() == before
    assert len(calls()) == 1
    if change == "gone":
        file.unlink()
    else:
        file.write_text("new")
    # Written anew as it was, it is the same.
    (directory / ("f.yml" if changed != "f.yml" else ".env")).write_text("{}")
    after = stack.config()
    assert after != before
    assert stack.asked().result() == json.dumps(after)
    assert len(calls()) == 2


def test_what_is_known_is_not_asked_until_a_file_changes(docker, tmp_path):
    calls = docker("compose*) echo '{\"asked\": 1}';;")
    (tmp_path / "f.yml").write_text("{}")
    stack = Stack(Engine(), "p", tmp_path, "f.yml")
    stack.know({"known": 1})
    assert stack.config() == {"known": 1}
    (tmp_path / "f.yml").write_text("new")
    assert stack.config() == {"asked": 1}
    assert len(calls()) == 1


def test_a_stack_without_pins_is_another_question(docker, tmp_path):
    calls = docker("compose*) echo '{}';;")
    (tmp_path / "f.yml").write_text("{}")
    engine = Engine()
    Stack(engine, "p", tmp_path, "f.yml").config()
    Stack(engine, "p", tmp_path, "f.yml", "p.json").config()
    Stack(engine, "q", tmp_path, "f.yml").config()
    Stack(engine, "p", tmp_path, "f.yml").config()
    assert len(calls()) == 3


def test_what_config_returns_may_be_changed(docker, tmp_path):
    docker('compose*) echo \'{"services": {"web": {}}}\';;')
    stack = Stack(Engine(), "p", tmp_path, "f.yml")
    stack.config()["services"].clear()
    assert stack.config() == {"services": {"web": {}}}


def test_a_text_is_checked_once_with_the_same_variables(docker):
    calls = docker('compose*) echo "$IMAGE_TAG"; cat;;')
    engine = Engine()

    def check(text, **environment):
        return engines.validate(engine, text, environment, "f.yml").result()

    assert [check("a", IMAGE_TAG="v1", X="1"), check("a", X="1", IMAGE_TAG="v1")] == ["v1\na"] * 2
    assert len(calls()) == 1
    assert [check("b", IMAGE_TAG="v1"), check("a", IMAGE_TAG="v2"), check("a")] == ["v1\nb", "v2\na", "\na"]
    assert len(calls()) == 4


def test_validate_feeds_the_text_and_the_environment(docker):
    calls = docker('compose*) test "$IMAGE_TAG" = v1 && cat;;')
    assert engines.validate(Engine(), '{"services": {}}', {"IMAGE_TAG": "v1"}, "f.yml").result() == '{"services": {}}'
    assert "--file - config --format json" in calls()[0]
    with pytest.raises(RolloutError, match=r"Checking f\.yml failed"):
        engines.validate(Engine(), "", {}, "f.yml").result()


def test_the_environment_of_this_process_stays(docker):
    docker("x) exit 0;;")
    before = dict(os.environ)
    Engine().run(["x"])
    assert dict(os.environ) == before


def test_a_password_goes_in_on_standard_input(docker, tmp_path):
    calls = docker(f'login*) cat > {tmp_path}/stdin; echo "$DOCKER_CONFIG" > {tmp_path}/config;;')
    Engine().configured("/conf").login("r.example", "karl", "canary-1")
    assert calls() == ["login --username karl --password-stdin r.example"]
    assert (tmp_path / "stdin").read_text() == "canary-1"
    assert (tmp_path / "config").read_text() == "/conf\n"


def test_a_refused_login_is_a_sentence_without_the_password(docker):
    docker("login*) echo 'unauthorized: incorrect username or password' >&2; exit 1;;")
    assert refused(Engine().login, "r.example", "karl", "canary-1") == (
        "Registry r.example does not let user karl log in from this host: unauthorized: incorrect username or password. Check "
        "rollout_registry_username and rollout_registry_password (vaulted)."
    )


@pytest.mark.parametrize(("config", "said"), [("", "theirs"), ("/own", "/own")])
def test_configured(docker, monkeypatch, config, said):
    monkeypatch.setenv("DOCKER_CONFIG", "theirs")
    docker('x) echo "$DOCKER_CONFIG";;')
    engine = Engine(7.0)
    found = engine.configured(config) if config else engine
    assert found.checked(["x"], "X") == said + "\n"
    assert (found.timeout, engine.config) == (7.0, "")
