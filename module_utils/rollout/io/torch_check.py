"""The torch contract of a container: feed the probe to it on standard input, read what it prints, judge.

A new image is tried in a throw-away container that Compose makes of the service's own configuration, so that the probe sees
what the service will see.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import secrets
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain import compose, thrown
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.io import gpu, refusals, torch_probe
from ansible.module_utils.rollout.io.compose_project import configuration
from ansible.module_utils.rollout.io.docker_command import last_words
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.masking import ending

LABEL = "rollout.probe"
_ALL_CARDS = {"resources": {"reservations": {"devices": [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}]}}}


def probe_source(limit_s: float) -> str:
    """The text of the probe, with its time limit, for an interpreter's standard input."""
    # Also where Ansible ships this package as a zip file.
    text = inspect.getsource(torch_probe).replace("LIMIT_S = 60.0", f"LIMIT_S = {limit_s!r}")
    # The probe starts its child with its own text, which a program read from standard input does not know.
    return f"ROLLOUT_SOURCE = {text!r}\nexec(compile(ROLLOUT_SOURCE, 'probe', 'exec'))\n"


@dataclass(frozen=True)
class Target:
    """What is to be tried: a running ``container``; an ``image``, with ``gpu`` given all NVIDIA cards; or a ``service`` of
    ``compose_file``, with ``image`` in place of its own.
    """

    container: str = ""
    image: str = ""
    compose_file: str = ""
    service: str = ""
    gpu: bool = False

    def __str__(self) -> str:
        return self.container or self.image or self.service


def check(engine: Engine, target: Target, expected: Expectation, limit_s: float) -> dict[str, Any]:
    """The verdict on a target; torch may take ``limit_s`` seconds.

    Raises:
        RolloutError: the compose file cannot be read, or has no such service.
    """
    if target.container:
        return in_container(engine, target.container, expected, limit_s)
    return in_image(engine, _service(engine, target), expected, limit_s)


def _service(engine: Engine, target: Target) -> dict[str, Any]:
    """The configuration that the throw-away container gets."""
    if not target.compose_file:
        return {"image": target.image, **({"deploy": _ALL_CARDS} if target.gpu else {})}
    services = configuration(engine, Path(target.compose_file))["services"]
    if target.service not in services:
        raise refusals.NO_SERVICE(file=target.compose_file, service=target.service, services=", ".join(sorted(services)))
    return {**services[target.service], **({"image": target.image} if target.image else {})}


def in_container(
    engine: Engine, container: str, expected: Expectation, limit_s: float, host: Optional[Mapping[str, Any]] = None
) -> dict[str, Any]:
    """The verdict on a running container; the probe runs as the container's own user.

    ``host`` is what `gpu.facts` returned, if it was asked already.
    """
    return _judged(engine, ["exec", "--interactive", container, expected.python, "-"], expected, limit_s, host, {})


def in_image(
    engine: Engine,
    service: Mapping[str, Any],
    expected: Expectation,
    limit_s: float,
    host: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """The verdict on an image, in a throw-away container without network.

    Args:
        service: its configuration as Compose prints it; only ``image`` is needed. Where a GPU is expected and the card has
            too little free memory, the container gets none, and the verdict says ``card_full``.
    """
    skipped = ""
    environment: dict[str, str] = {}
    if expected.on_gpu:
        host = host if host is not None else gpu.facts(engine)
        environment = _environment(engine, service)
        skipped = gpu.too_full(expected.min_free_mib, compose.cards(service))
    name = f"rollout-probe-{secrets.token_hex(4)}"
    tried = thrown.throw_away(service, expected.python, gpu=not skipped)
    document = {"services": {"probe": {**tried, "labels": {LABEL: "torch"}}}}
    # What a run that was killed left behind; the files hold an environment.
    for left in Path(tempfile.gettempdir()).glob("rollout-probe-*"):
        with contextlib.suppress(OSError):
            if left.stat().st_uid == os.getuid() and time.time() - left.stat().st_mtime > 3600:
                shutil.rmtree(left)
    engine.run(["container", "prune", "--force", "--filter", f"label={LABEL}", "--filter", "until=1h"])
    # The file holds the service's environment: in a directory that nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="rollout-probe-") as directory:
        file = Path(directory) / "docker-compose.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        call = ["compose", "--project-name", name, "--project-directory", directory, "--file", str(file)]
        try:
            run = [*call, "run", "--rm", "--no-deps", "--no-TTY", "--interactive", "--name", name, "probe"]
            return _judged(engine, run, expected, limit_s, host, environment, skipped)
        finally:
            engine.run(["rm", "--force", "--volumes", name])


def _environment(engine: Engine, service: Mapping[str, Any]) -> dict[str, str]:
    """What a container of the service finds in its environment: the image's, and over it the service's own."""
    image = engine.image(str(service["image"])) or {}
    found = dict(entry.partition("=")[::2] for entry in (image.get("Config") or {}).get("Env") or [])
    own = {name: value for name, value in (service.get("environment") or {}).items() if value is not None}
    return {**found, **own}


def _judged(
    engine: Engine,
    command: list[str],
    expected: Expectation,
    limit_s: float,
    host: Optional[Mapping[str, Any]],
    environment: Mapping[str, str],
    skipped: str = "",
) -> dict[str, Any]:
    code, out, err = engine.run(command, stdin=probe_source(limit_s), timeout=limit_s + 20)
    document = torch_verdict.read_probe(out)
    if host is None and expected.on_gpu:
        host = gpu.facts(engine)
    error = "" if document else last_words(err or out) if code else ending(out + err).strip()[-300:]
    return torch_verdict.judge(document, expected, error, host, environment, skipped)
