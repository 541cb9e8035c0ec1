"""The floor: calls of the engine's API alone, with the first good answer as the clock. No check, no way back, no record.

`python -m bench.floor OLD NEW`: the new containers are there already, created and not started, and so are the networks that
their stacks have.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

from bench import engine

PROJECT = "bench-floor"
LABELS = {"com.docker.compose.project": PROJECT}
PAUSE_S = 0.01
LIMIT_S = 60.0


def container(service: str, release: str) -> str:
    """The name of a service's container at a release."""
    return f"{PROJECT}-{service}-{release}"


def network(stack: str) -> str:
    """The name of a stack's network."""
    return f"{PROJECT}-{stack}"


def connect(stack: str) -> None:
    """Create a stack's network."""
    engine.call("POST", "/networks/create", {"Name": network(stack), "Labels": LABELS})


def stay(stack: str, image: str) -> None:
    """Start a container that stays, as the stack has one (`bench/stacks`): its network keeps its carrier."""
    host = {"NetworkMode": network(stack), "Init": True}
    configuration = {"Image": image, "Cmd": ["sleep", "infinity"], "Labels": LABELS, "HostConfig": host}
    engine.call("POST", f"/containers/create?name={network(stack)}-stays", configuration)
    engine.call("POST", f"/containers/{network(stack)}-stays/start")


def create(service: str, image: str, release: str, port: int, stack: str) -> None:
    """Create a container on its stack's network, and do not start it."""
    configuration = {
        "Image": f"{image}:{release}",
        "Labels": {**LABELS, "com.docker.compose.service": service},
        "ExposedPorts": {"8000/tcp": {}},
        "NetworkingConfig": {"EndpointsConfig": {network(stack): {"Aliases": [service]}}},
        "HostConfig": {
            "NetworkMode": network(stack),
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]},
            "RestartPolicy": {"Name": "unless-stopped"},
        },
    }
    engine.call("POST", f"/containers/create?name={container(service, release)}", configuration)


def start(service: str, release: str) -> None:
    """Start a created container."""
    engine.call("POST", f"/containers/{container(service, release)}/start")


def names(port: int, release: str) -> bool:
    """Whether what answers there names the release."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/v1/health")
        answer = connection.getresponse()
        return answer.status == 200 and json.loads(answer.read()).get("release") == release
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def replace(service: str, port: int, old: str, new: str) -> None:
    """Stop and remove the old one, start the new one, wait for its first good answer."""
    engine.call("POST", f"/containers/{container(service, old)}/stop?t=10")
    engine.call("DELETE", f"/containers/{container(service, old)}")
    start(service, new)
    end = time.monotonic() + LIMIT_S
    while not names(port, new):
        if time.monotonic() > end:
            raise SystemExit(f"{service} did not answer as {new}")
        time.sleep(PAUSE_S)


def main(old: str, new: str, ports: dict[str, int]) -> None:
    """The backend, then all workers at once."""
    (backend, *workers) = ports.items()
    replace(*backend, old, new)
    threads = [threading.Thread(target=replace, args=(*worker, old, new)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
