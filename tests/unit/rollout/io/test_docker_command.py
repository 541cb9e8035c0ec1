from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import time
from pathlib import Path

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import docker_command
from ansible.module_utils.rollout.io.docker_command import last_words, scrubbed, version_tuple
from ansible.module_utils.rollout.io.engine import Engine

INFO = {"ServerVersion": "24.0.7", "Architecture": "x86_64", "DockerRootDir": "/data/docker"}


def info(**facts):
    return f"info*) echo '{json.dumps({**INFO, **facts})}';;\n"


def refused(call, *arguments):
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value)


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
    monkeypatch.setattr(docker_command, "_DOCKER", ("/usr/bin/docker",))
    assert Engine().run(["compose", "ps"])[1] == "by docker\n"


def test_a_plugin_is_asked_for_its_version_once(plugins, tmp_path):
    plugins(version=f"echo asked >> {tmp_path}/asked; echo v2.30.0")
    engine = Engine()
    assert engine.facts()["compose"] == "2.30.0"
    assert engine.run(["compose", "ps"])[1] == "by all: ps\n"
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_no_answer_in_time(docker):
    docker("*) exec sleep 5;;")
    assert Engine(0.1).run(["ps"]) == (124, "", "docker ps gave no answer in 0 s")


def patiently(attempt):
    """What an attempt comes to within the shortest limit in which this machine, under its load, gets as far as it must."""
    return next(found for found in map(attempt, (0.3, 3.0, 30.0)) if found)


def test_a_child_of_docker_that_hangs_is_ended_too(docker, tmp_path):
    docker(f"*) sleep 900 & echo $! > {tmp_path}/child; wait;;")
    began, child = time.monotonic(), tmp_path / "child"

    def attempt(limit):
        assert Engine(limit).run(["compose"])[0] == 124
        return child.exists() and child.read_text().strip()

    # It was killed: gone in a moment, or dead and waiting for whoever adopted it.
    status = Path(f"/proc/{patiently(attempt)}/status")
    while time.monotonic() - began < 600 and status.exists() and "State:\tZ" not in status.read_text():
        time.sleep(0.01)
    assert time.monotonic() - began < 600


def test_a_child_that_docker_leaves_with_its_pipes_is_not_waited_for(docker):
    docker("*) sleep 900 & echo done;;")
    began = time.monotonic()
    assert Engine(600.0).run(["compose"], stdin="x" * 10**6)[0] == 0
    assert time.monotonic() - began < 600


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
        ("x" * 999 + ": no space left on device", "x" * 575 + ": no space left on device"),
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


@pytest.mark.parametrize("waits", ["exec sleep 900", "sleep 900"])
def test_what_says_nothing_is_ended_with_its_children(docker, tmp_path, waits):
    docker(f"x) echo $$ > {tmp_path}/pid; printf one; {waits};;")
    began = time.monotonic()

    def attempt(quiet):
        found = watched("x", quiet=quiet)
        return found[2] and (quiet, found)

    quiet, found = patiently(attempt)
    assert found == (124, f"no byte came for {quiet:.0f} s", "one")
    assert time.monotonic() - began < 600
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_closes_its_terminal_and_goes_on_is_ended(docker, tmp_path):
    docker(f"x) echo $$ > {tmp_path}/pid; exec sleep 900 >&-;;")
    code, err, _seen = watched("x", quiet=1.0)
    assert (code, err) == (124, "no byte came for 1 s")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_the_kernel_does_not_end_is_not_waited_for(docker, tmp_path, monkeypatch):
    """A command that waits for a disk; here the signal gets lost."""
    docker(f"x) echo $$ > {tmp_path}/pid; exec sleep 900;;")
    sent = []
    monkeypatch.setattr(docker_command.os, "killpg", lambda group, number: sent.append((group, number)))
    monkeypatch.setattr(docker_command, "KILL_S", 0.1)
    assert Engine().run(["x"], timeout=1.0) == (124, "", "docker x gave no answer in 1 s")
    (process,) = {group for group, _number in sent}
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_an_absent_docker_cannot_be_watched(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert watched("x") == (127, "docker: command not found", "")


@pytest.mark.parametrize("ends", ["well", "quiet", "seen", "absent"])
def test_watching_leaves_no_file_open_and_no_process(docker, tmp_path, ends):
    if ends != "absent":
        docker(f"x) echo $$ > {tmp_path}/pid; printf one; {'' if ends == 'well' else 'exec sleep 60'};;")

    def seen(piece):
        assert ends != "seen"

    before, pid = open_files(), tmp_path / "pid"
    with contextlib.suppress(AssertionError):
        patiently(
            lambda quiet: Engine().watch(["x"], 60.0 if ends == "well" else quiet, seen) and (ends == "absent" or pid.exists())
        )
    assert open_files() == before
    if ends != "absent":
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_the_environment_of_this_process_stays(docker):
    docker("x) exit 0;;")
    before = dict(os.environ)
    Engine().run(["x"])
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", True),
        ("error during connect: Post http://%2Fvar%2Frun%2Fdocker.sock/v1.43/containers/c1/stop: EOF", True),
        ("unexpected EOF", True),
        ("Error response from daemon: Get https://r.example/v2/: dial tcp 10.0.0.1:443: connect: connection refused", False),
        ("Error response from daemon: driver failed: port is already allocated", False),
        ("open EOFS/file: no such file or directory", False),
    ],
)
def test_docker_says_whether_the_engine_is_away(docker, said, gone):
    docker(f"up*) echo '{said}' >&2; exit 1;;\n")
    with pytest.raises(RolloutError, match="Starting web failed") as error:
        docker_command.Docker().checked(["up", "web"], "Starting web")
    assert error.value.facts == ({"away": True} if gone else {})
