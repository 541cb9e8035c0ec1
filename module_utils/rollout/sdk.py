"""The docker SDK: feeding the torch probe to a container on standard input and reading what it prints."""

from __future__ import annotations

import inspect
import select
import socket
import time
from typing import Any, Optional

from ansible.module_utils.rollout import probe, torch_verdict


def probe_source(limit_s: float) -> str:
    """The text of the probe, with its time limit, for an interpreter's standard input."""
    # Also where Ansible ships this package as a zip file.
    text = inspect.getsource(probe)
    text = text.replace("LIMIT_S = 60.0", f"LIMIT_S = {limit_s!r}")
    # The probe starts its child with its own text, which a program read from standard input does not know.
    return f"ROLLOUT_SOURCE = {text!r}\nexec(compile(ROLLOUT_SOURCE, 'probe', 'exec'))\n"


def check(
    target: str,
    expected: str,
    *,
    image: bool,
    limit_s: float = 60.0,
    python: str = "python3",
    gpu: bool = False,
    environment: Optional[dict[str, str]] = None,
) -> dict[str, Any]:
    """Probe a running container, or with ``image`` a throw-away container of an image, and judge.

    Returns:
        The document of `torch_verdict.judge`. Whatever the engine refuses becomes a verdict too.
    """
    try:
        import docker
        from docker import errors
    except ImportError as error:
        return torch_verdict.judge(None, expected, f"the Python package docker is not on this host ({error})")
    try:
        client = docker.from_env(timeout=int(limit_s) + 30)
        try:
            run = _in_image if image else _in_container
            out = run(client, target, python, probe_source(limit_s), limit_s + 15, gpu, environment or {})
        finally:
            client.close()
    except (errors.DockerException, OSError) as error:
        return torch_verdict.judge(None, expected, str(getattr(error, "explanation", None) or error))
    document = torch_verdict.read_probe(out)
    return torch_verdict.judge(document, expected, "" if document else out.strip()[-300:])


def _in_container(
    client: Any, target: str, python: str, source: str, limit_s: float, _gpu: bool, _environment: dict[str, str]
) -> str:
    created = client.api.exec_create(target, [python, "-"], stdin=True)
    stream = client.api.exec_start(created["Id"], socket=True)
    return _converse(stream, source, limit_s)


def _in_image(client: Any, target: str, python: str, source: str, limit_s: float, gpu: bool, environment: dict[str, str]) -> str:
    import docker

    devices = [docker.types.DeviceRequest(driver="nvidia", count=-1, capabilities=[["gpu"]])] if gpu else []
    container = client.containers.create(
        target,
        entrypoint=[python],
        command=["-"],
        stdin_open=True,
        network_mode="none",
        environment=environment,
        device_requests=devices,
        healthcheck={"test": ["NONE"]},
        labels={"rollout.probe": "torch"},
    )
    try:
        stream = client.api.attach_socket(container.id, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        container.start()
        return _converse(stream, source, limit_s)
    finally:
        container.remove(force=True, v=True)


def _converse(stream: Any, source: str, limit_s: float) -> str:
    """Write the source, close that direction, read both output streams until their end or the limit."""
    raw = getattr(stream, "_sock", stream)
    ends = time.monotonic() + limit_s
    try:
        raw.settimeout(limit_s)
        raw.sendall(source.encode())
        raw.shutdown(socket.SHUT_WR)
        data = b""
        while True:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([raw], [], [], left)[0]:
                break
            chunk = raw.recv(65536)
            if not chunk:
                break
            # A flood on stdout must not fill this host's memory; the document comes last.
            data = (data + chunk)[-4_000_000:]
    finally:
        stream.close()
    return _demultiplexed(data)


def _demultiplexed(data: bytes) -> str:
    """The text of a multiplexed stream: frames of a type, three zeros and a length before the bytes (Engine API)."""
    text, at = b"", 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at] > 2 or data[at + 1 : at + 4] != b"\0\0\0":
            return data.decode("utf-8", "replace")
        text += data[at + 8 : at + 8 + size]
        at += 8 + size
    return text.decode("utf-8", "replace")
