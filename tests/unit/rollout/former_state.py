"""The state of a host as commit 6e677c5 of this tool wrote it, byte by byte, and the containers that it started."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fake_engine import digest, image_id
from story import Host

# What it labelled these services with, by the letter of the release.
LABELS = {
    "a": {"web": "e8eca68e6f2d022f", "job": "eaa8b0e855e872d3"},
    "b": {"web": "74f22ff9d445a90c", "job": "fdec81e40a8e8a90"},
}
KEPT = {"db": "postgres:16", "cache": "mine:1"}


def text(letter: str, **images: str) -> str:
    """The compose file of stack core: web and job are of the release, what `KEPT` has is not."""
    tag, gate = "sha-" + letter * 7, {"successes": 1, "window": 0, "deadline": 0.0}
    specs = {name: {"image": f"r/{name}:{tag}"} for name in ("web", "job")}
    specs.update({name: {"image": images.get(name, image)} for name, image in KEPT.items()})
    return json.dumps({"services": specs, "x-rollout": {name: gate for name in ("web", "job")}})


def pins(letter: str) -> dict[str, Any]:
    """What the second compose file says of its services."""
    tag = "sha-" + letter * 7
    return {
        name: {
            "image": f"r/{name}:{tag}@{digest(letter)}",
            "labels": {"rollout.config": label, "rollout.release": tag},
        }
        for name, label in LABELS[letter].items()
    }


def release(host: Host, letter: str) -> str:
    """Write a release, stable, without starting anything; its name."""
    name, store, engine = "sha-" + letter * 7, host.store, host.engine
    store.require_writable()
    files = {
        ".env": f'IMAGE_TAG="{name}"\nPW="canary-{letter}"\n',
        "docker-compose.core.yml": text(letter),
        "docker-compose.core.pins.json": json.dumps({"services": pins(letter)}, indent=2, sort_keys=True) + "\n",
    }
    manifest = {
        "application": host.application,
        "files": {file: hashlib.sha256(content.encode()).hexdigest() for file, content in files.items()},
        "images": {f"r/{name}": {"digest": digest(letter), "id": image_id(letter)} for name in ("job", "web")},
        "name": name,
        "release": name,
        "run": f"run-{letter}",
        "secrets": ["PW"],
        "stacks": ["core"],
    }
    directory = store.directory(name)
    directory.mkdir(mode=0o700)
    for file, content in {**files, "release.json": json.dumps(manifest, indent=2, sort_keys=True) + "\n"}.items():
        (directory / file).write_text(content, encoding="utf-8")
    known = [{"event": "staged"}]
    known += [{"event": "switching", "stack": "core", "service": service} for service in ("db", "cache", "web", "job")]
    known += [{"event": "switched", "stack": "core", "seconds": {}}, {"action": "rollout", "event": "confirmed"}]
    before = len(store.path.read_text().splitlines()) if store.path.exists() else 0
    with store.path.open("a", encoding="utf-8") as file:
        for number, entry in enumerate(known, before + 1):
            about = {"at": "2026-11-27T11:21:15Z", "name": name, "release": name, "run": f"run-{letter}", "seq": number}
            file.write(json.dumps({**about, **entry}, sort_keys=True) + "\n")
    for service in ("web", "job"):
        engine.images[f"r/{service}@{digest(letter)}"] = engine.images[f"r/{service}:{name}"] = image_id(letter)
    for repository, tag, mark in (("postgres", "16", "c"), ("postgres", "17", "d"), ("mine", "1", "e")):
        engine.images[f"{repository}:{tag}"] = engine.images[f"{repository}@{digest(mark)}"] = image_id(mark)
    return name


def start(host: Host, letter: str) -> dict[str, str]:
    """Start the containers of a release, as its Compose did; service -> id."""
    for service, image in KEPT.items():
        host.engine.add(f"{host.application}-core", service, {"image": image})
    for service, spec in pins(letter).items():
        host.engine.add(f"{host.application}-core", service, spec)
    return host.engine.running()
