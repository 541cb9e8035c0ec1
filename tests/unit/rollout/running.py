"""A Compose project that runs on a host, as the module compose_project_info tells of it."""

from __future__ import annotations

import base64
from typing import Any, Mapping

from ansible.module_utils.rollout.controller import adopted, adopting, adoption

FOLDER = "/srv/shop"
COMPOSE = """\
services:
  web:
    image: ghcr.io/shop/web:1.2
    environment: {DB_PASSWORD: "${DB_PASSWORD:?}"}
  db:
    image: postgres:17
"""


def service(name: str = "web", **how: Any) -> dict[str, Any]:
    """One service; ``ports`` and ``mounts`` may be short: (published, target), (source, target, read_only)."""
    ports = [
        {"address": "", "published": row[0], "target": row[1], "protocol": "tcp"} if isinstance(row, tuple) else row
        for row in how.pop("ports", ())
    ]
    mounts = [
        {"kind": "bind", "source": row[0], "target": row[1], "read_only": row[2]} if isinstance(row, tuple) else row
        for row in how.pop("mounts", ())
    ]
    known = {
        **{"service": name, "image": f"ghcr.io/shop/{name}:1.2", "digest": "sha256:" + "a" * 64, "id": "sha256:" + "b" * 64},
        **{"state": "running", "code": 0, "health": "", "check": "", "image_check": "", "restart": "always", "replicas": 1},
    }
    return {**known, "ports": ports, "mounts": mounts, **how}


def facts(*services: Mapping[str, Any], **how: Any) -> dict[str, Any]:
    """A project in `FOLDER`."""
    return {
        **{"name": "shop", "folder": FOLDER, "compose": [f"{FOLDER}/docker-compose.yml"], "env_files": [f"{FOLDER}/.env"]},
        **{"services": list(services or [service(), service("db", image="postgres:17")]), "notes": [], "ours": False},
        **how,
    }


def files(**named: Any) -> dict[str, dict[str, Any]]:
    """The files that a host handed over; ``compose`` and ``env`` are short for the two that most have. A dict is a reason."""
    known = {"compose": "docker-compose.yml", "env": ".env"}
    texts = {"compose": COMPOSE, "env": "DB_PASSWORD=canary-password\nLOG=info\n", **named}
    return {
        name if name.startswith("/") else f"{FOLDER}/{known.get(name, name)}": text
        if isinstance(text, dict)
        else {"base64": base64.b64encode(text.encode() if isinstance(text, str) else text).decode(), "mode": "0644"}
        for name, text in texts.items()
        if text is not None
    }


def more(**named: Any) -> dict[str, dict[str, Any]]:
    """Further files."""
    return files(compose=None, env=None, **named)


def project(said: Mapping[str, Any] | None = None, read: Mapping[str, Any] | None = None, host: str = "nas") -> adoption.Project:
    """A project with its files."""
    return adoption.Project(host, said or facts(), files() if read is None else read)


def adopt(said: Mapping[str, Any] | None = None, read: Mapping[str, Any] | None = None, host: str = "nas") -> adopted.Adopted:
    """What its inventory would say."""
    return adopting.adopt(host, said or facts(), files() if read is None else read)
