"""Containers beside what runs, which Compose makes of a configuration. They are one-off, as those of `docker compose run`, so
that nobody takes them for a service, and they are always removed, with the volumes that they alone have."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Iterator, Mapping

from ansible.module_utils.rollout.io.engine import Engine

# Seconds that the engine may take to start one.
LIMIT_S = 120.0


@contextlib.contextmanager
def started(engine: Engine, document: Mapping[str, Any], directory: Path, env: str = os.devnull) -> Iterator[str]:
    """Start the only service of a Compose file; the container's id. At the end it is gone.

    Args:
        document: the file, as Compose would print it. Its container has no port, and no name but its own in its networks.
        directory: where the file is written, which has the service's environment in it: nobody else may enter.
        env: the path of the variables that its configs and secrets refer to.

    Raises:
        RolloutError: it does not start; docker's last words.
    """
    name, service = f"rollout-rehearsal-{secrets.token_hex(4)}", next(iter(document["services"]))
    file = Path(directory) / "docker-compose.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    call = ["compose", "--project-name", name, "--project-directory", str(directory), "--env-file", env, "--file", str(file)]
    # A terminal it cannot have: nobody sits at one.
    reads = str(bool(document["services"][service].get("stdin_open"))).lower()
    options = ["--detach", "--no-deps", "--no-TTY", f"--interactive={reads}", "--name", name]
    try:
        engine.checked([*call, "run", *options, service], f"Starting {service}", timeout=LIMIT_S)
        yield str(engine.inspect("container", [name])[0]["Id"])
    finally:
        engine.run(["rm", "--force", "--volumes", name])


def sweep(engine: Engine, label: str) -> list[str]:
    """Remove the containers with a label (``NAME=VALUE``), which a killed process left; their ids.

    Raises:
        RolloutError: the engine does not answer, or does not do it.
    """
    found = engine.get("/containers/json", "Listing containers", all="true", filters={"label": [label]}) or []
    left = [str(one["Id"]) for one in found]
    if left:
        engine.checked(["rm", "--force", "--volumes", *left], "Removing what a rehearsal left")
    return left
