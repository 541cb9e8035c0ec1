"""The engine's API over docker's own connection, here a process that stands for `docker system dial-stdio`, and over a socket."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.rollout.io import docker_api
from ansible.module_utils.rollout.io.docker_api import Api, Events

# Answers with what it was asked and who answered; some paths it takes as an order.
DIAL = """
import json, os, sys
from http.server import BaseHTTPRequestHandler

assert sys.argv[1:] == ["system", "dial-stdio"]
with open({starts!r}, "a") as starts:
    print(os.getpid(), file=starts)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self):
        self.close_connection = False
        self.client_address, self.rfile, self.wfile = ("", 0), sys.stdin.buffer, sys.stdout.buffer
        while not self.close_connection:
            self.handle_one_request()

    def do_GET(self):
        word = self.path.strip("/")
        if word == "die":
            sys.exit("error during connect: the engine is gone")
        if word == "silent":
            sys.exit(1)
        if word == "hang":
            sys.stdin.buffer.read()
            sys.exit("ended while it hung")
        if word == "nonsense":
            self.wfile.write(b"this is no HTTP\\r\\n\\r\\n")
            self.wfile.flush()
            sys.exit(1)
        status = int(word) if word.isdigit() else 200
        answer = {{"asked": self.path, "process": os.getpid(), "environment": dict(os.environ)}}
        data = b" page not found \\xff\\n" if word == "text" else json.dumps(answer).encode()
        self.send_response(status)
        if word == "flood":
            data = b"[" * 70000
        self.send_header("Content-Length", str(len(data) + (word == "short")))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        if word in ("short", "flood"):
            sys.exit()

    def log_message(self, *_arguments):
        pass


Handler()
"""


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """Put that docker on PATH; the processes that were started, in their order."""
    file = tmp_path / "starts"
    docker = tmp_path / "docker"
    docker.write_text(f"#!{sys.executable}\n{DIAL.format(starts=str(file))}")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return lambda: [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.fixture
def make():
    """Make one, which is closed at the end."""
    made = []

    def one(timeout=60.0):
        made.append(Api(lambda: os.environ, timeout))
        return made[-1]

    yield one
    for api in made:
        api.close()


@pytest.fixture
def api(make, starts):
    return make()


def asked(api, path, **query):
    """What the engine was asked for, as it came."""
    return api.get(path, **query)[1]["asked"]


def impatient(api):
    """From now on it waits for 0.3 s: for its answer, and not for the start of the process that answers."""
    api.get("/info")
    api._timeout = 0.3
    api._line.socket.settimeout(0.3)


def ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def open_files():
    # What another test has left to the collector is closed now, and not between two looks.
    gc.collect()
    return sorted(os.listdir("/proc/self/fd"))


# The connection.


def test_nothing_is_started_before_something_is_asked(api, starts):
    assert starts() == []


def test_one_connection_serves_all_questions(api, starts):
    answers = [api.get(path) for path in ("/info", "/404", "/text", "/info")]
    assert [status for status, _content in answers] == [200, 404, 200, 200]
    (process,) = starts()
    assert {answers[0][1]["process"], answers[3][1]["process"]} == {process}


def test_questions_at_once_take_turns(api, starts):
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda number: asked(api, f"/{number}/x"), range(40)))
    assert said == [f"/{number}/x" for number in range(40)]
    assert len(starts()) == 1


def test_one_that_died_meanwhile_is_opened_again(api, starts):
    api.get("/info")
    (killed,) = starts()
    os.kill(killed, signal.SIGKILL)
    status, answer = api.get("/info")
    assert (status, starts()) == (200, [killed, answer["process"]])
    assert answer["process"] != killed
    assert ended(killed)


def test_it_is_opened_again_once(api, starts):
    api.get("/info")
    with pytest.raises(ConnectionError, match=r"^error during connect: the engine is gone$"):
        api.get("/die")
    assert len(starts()) == 2
    # And for the next question.
    assert api.get("/info")[0] == 200
    assert len(starts()) == 3


def test_one_that_dies_at_its_first_question_is_not_tried_again(api, starts):
    with pytest.raises(ConnectionError):
        api.get("/die")
    assert len(starts()) == 1


def test_closed_it_may_be_asked_again(api, starts):
    first = api.get("/info")[1]["process"]
    api.close()
    api.close()
    assert ended(first)
    assert api.get("/info")[1]["process"] != first


def test_forgotten_it_ends(starts):
    api = Api(lambda: os.environ, 60)
    process = api.get("/info")[1]["process"]
    del api
    assert ended(process)


@pytest.mark.parametrize("path", ["/info", "/die", "/silent", "/nonsense", "/hang"])
@pytest.mark.parametrize("kept", [True, False])
def test_nothing_is_left_open(make, starts, path, kept):
    before = open_files()
    api = make(0.3 if path == "/hang" and not kept else 60.0)
    if kept:
        impatient(api) if path == "/hang" else api.get("/info")
    if path == "/info":
        api.get(path)
    else:
        with pytest.raises(OSError, match=r"."):
            api.get(path)
    api.close()
    assert open_files() == before
    assert [process for process in starts() if not ended(process)] == []


def test_docker_gets_the_environment_of_that_moment(starts):
    given = {"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///one"}
    api = Api(lambda: given, 60)
    told = api.get("/info")[1]["environment"]
    assert (told["DOCKER_HOST"], told.get("HOME")) == ("unix:///one", None)
    api.close()
    given["DOCKER_HOST"] = "unix:///two"
    assert api.get("/info")[1]["environment"]["DOCKER_HOST"] == "unix:///two"
    api.close()


# What is asked.


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/info", "/info"),
        (f"/images/localhost:5000/a/b@sha256:{'0' * 64}/json", f"/images/localhost:5000/a/b@sha256:{'0' * 64}/json"),
        ("/images/a/b:v1.2_3-x/json", "/images/a/b:v1.2_3-x/json"),
        # What is no reference at all stays one path.
        ("/images/a b?c=d&e#f%g/json", "/images/a%20b%3Fc%3Dd%26e%23f%25g/json"),
        ("/images/ä/json", "/images/%C3%A4/json"),
        ("/images/x HTTP/1.1\r\nHost: y/json", "/images/x%20HTTP/1.1%0D%0AHost:%20y/json"),
    ],
)
def test_a_path_is_quoted(api, path, sent):
    assert asked(api, path) == sent


def test_a_query_of_texts_and_of_json(api):
    filters = {"label": ["com.docker.compose.project=app-core", "a=b & c"]}
    url = urlsplit(asked(api, "/containers/json", all="true", limit=5, size=False, filters=filters))
    query = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True).items()}
    assert url.path == "/containers/json"
    assert json.loads(query.pop("filters")) == filters
    assert query == {"all": "true", "limit": "5", "size": "false"}


# What comes back.


@pytest.mark.parametrize("status", [200, 404, 409, 500])
def test_the_status_is_told_and_is_no_error(api, status):
    said, content = api.get(f"/{status}")
    assert (said, content["asked"]) == (status, f"/{status}")


def test_an_answer_that_is_no_json_is_a_message(api):
    assert api.get("/text") == (200, {"message": "page not found \ufffd"})


# Refusals.


@pytest.mark.parametrize("kept", [True, False])
def test_without_docker_that_is_said(api, starts, monkeypatch, kept):
    if kept:
        os.kill(api.get("/info")[1]["process"], signal.SIGKILL)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError) as error:
        api.get("/info")
    assert error.value.filename == "docker"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/die", "error during connect: the engine is gone\n"),
        # Docker says nothing: the connection's own words.
        ("/silent", "Remote end closed connection without response"),
        ("/nonsense", "this is no HTTP\r\n"),
    ],
)
def test_a_refusal_is_in_dockers_words(api, path, words):
    with pytest.raises(ConnectionError) as error:
        api.get(path)
    assert str(error.value) == words


def test_an_answer_without_an_end_is_a_sentence(api, monkeypatch):
    monkeypatch.setattr(docker_api, "MOST", 2**16)
    api.get("/info")
    with pytest.raises(ConnectionError, match=r"^the engine answered more than 0 MiB$"):
        api.get("/flood")
    assert asked(api, "/info") == "/info"


def test_an_answer_that_breaks_off_is_a_sentence(api):
    with pytest.raises(ConnectionError, match=r"^the engine's answer broke off$"):
        api.get("/short")


def test_docker_that_says_no_at_once(tmp_path, starts, api):
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///x.' >&2\nexit 1\n")
    with pytest.raises(ConnectionError, match=r"^Cannot connect to the Docker daemon at unix:///x\.$"):
        api.get("/info")


def test_an_engine_that_hangs_is_a_sentence_and_is_not_asked_again(api, starts):
    impatient(api)
    with pytest.raises(TimeoutError) as error:
        api.get("/hang")
    assert str(error.value) == "the engine gave no answer in 0 s"
    (process,) = starts()
    assert ended(process)


def test_behind_an_answer_that_ends_the_connection_docker_is_dialled_and_no_host(make, starts, tmp_path, monkeypatch):
    fake = tmp_path / "docker"
    closing = 'self.send_header("Connection", "close"); self.send_header("Content-Length"'
    fake.write_text(fake.read_text().replace('self.send_header("Content-Length"', closing))
    dialled = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *_rest, **_more: dialled.append(address))
    api = make()
    assert [api.get("/info")[0] for _ in range(2)] == [200, 200]
    assert dialled == []
    assert len(starts()) == 2


# A stream.


def test_a_stream_by_docker_leaves_no_process(api, starts):
    with api.stream("/events") as stream:
        stream.settimeout(60)
        assert b'"asked": "/events"' in stream.recv(2**16) + stream.recv(2**16)
    (process,) = starts()
    assert ended(process)


def test_without_docker_there_is_no_stream(api, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with api.stream("/events") as stream:
        assert stream is None


# What goes on.


def test_of_events_it_is_told_that_there_was_one():
    ours, its = socket.socketpair()
    with ours, its:
        events = Events(ours)
        assert events.wait(0.01) is False
        its.sendall(b"{}\n")
        assert events.wait(60) is True
        assert events.wait(0.01) is False
        assert not events.ended
        its.close()
        # The engine is gone, and is not asked again.
        assert [events.wait(60), events.wait(0.01)] == [False, False]
        assert events.ended
