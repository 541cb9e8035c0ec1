from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading

import docker
import pytest
from ansible.module_utils.rollout import sdk
from docker import errors
from interpreter import bare_python


def frame(kind, data):
    return struct.pack(">BxxxL", kind, len(data)) + data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (frame(1, b"one\n") + frame(2, b"err\n") + frame(1, b"two"), "one\nerr\ntwo"),
        (frame(1, b"whole") + frame(1, b"broken off")[:-4], "wholebroken"),
        (b"plain text of a terminal", "plain text of a terminal"),
        (frame(1, b"\xff"), "\ufffd"),
    ],
)
def test_demultiplexed(data, text):
    assert sdk._demultiplexed(data).startswith(text)


def test_the_source_runs_with_its_limit():
    source = sdk.probe_source(1.5)
    assert "LIMIT_S = 1.5" in source
    assert "LIMIT_S = 60.0" not in source
    compile(source, "probe", "exec")


class Client:
    """As much of docker.DockerClient as is used; what is exec'd really runs here."""

    def __init__(self, error=None):
        self.error, self.removed, self.api, self.containers = error, [], self, self
        self.id, self.closed, self.options = "c1", False, {}

    def exec_create(self, target, command, stdin):
        if self.error:
            raise self.error
        return {"Id": "e1"}

    def create(self, image, **options):
        self.options = options
        return self

    def remove(self, **options):
        self.removed.append(options)

    def start(self):
        if self.error:
            raise self.error

    def close(self):
        self.closed = True

    def exec_start(self, identity, socket):
        return self._stream()

    def attach_socket(self, identity, options):
        return self._stream()

    @staticmethod
    def _stream():
        ours, theirs = socket.socketpair()

        def serve():
            source = b""
            while chunk := theirs.recv(65536):
                source += chunk
            done = subprocess.run([bare_python(), "-"], input=source, capture_output=True)
            theirs.sendall(frame(1, done.stdout) + frame(2, done.stderr))
            theirs.close()

        threading.Thread(target=serve, daemon=True).start()
        return ours


@pytest.mark.parametrize("image", [True, False])
def test_check(monkeypatch, image):
    client = Client()
    monkeypatch.setattr(docker, "from_env", lambda **options: client)
    verdict = sdk.check("x", "absent", image=image, limit_s=20, gpu=True)
    assert (verdict["verdict"], verdict["observed"]) == ("pass", "no torch")
    assert client.closed
    if image:
        assert client.removed == [{"force": True, "v": True}]
        assert client.options["network_mode"] == "none"
        assert client.options["device_requests"]


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            errors.APIError("x", explanation='exec: "python3": executable file not found in $PATH'),
            "no_python",
        ),
        (errors.NotFound("No such container: x"), "no_answer"),
        (OSError("connection reset"), "no_answer"),
    ],
)
def test_what_the_engine_refuses_is_a_verdict(monkeypatch, error, reason, image):
    client = Client(error)
    monkeypatch.setattr(docker, "from_env", lambda **options: client)
    verdict = sdk.check("x", "cpu", image=image)
    assert verdict["reason"] == reason
    assert verdict["verdict"] != "pass"
    assert client.closed
    assert len(client.removed) == image


def test_without_the_sdk(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    verdict = sdk.check("x", "absent", image=True)
    assert verdict["verdict"] == "unknown"
    assert verdict["observed"].startswith("the Python package docker is not on this host (")
