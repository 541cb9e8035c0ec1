"""The second Compose file of a stack: what a release pins of the first ones. Images go by digest, relative paths to where what
they name outlives the release or is known by its content, and labels tell containers apart. Pure."""

from __future__ import annotations

import copy
import json
import posixpath
import re
from typing import Any, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.domain import compose
from ansible.module_utils.rollout.domain.compose import CONFIG_LABEL, RELEASE_LABEL, Service
from ansible.module_utils.rollout.errors import Refusal

ASKED, IMAGE, EARLIER, PROXY = "asked", "image", "earlier", "proxy"
# Databases, brokers and object stores, by the last part of their image's name: to restart one is never what a release is for.
_KEPT = re.compile(
    r"(?:.*/)?(postgres|postgresql|postgis|timescaledb(-ha)?|pgvector|pgvecto-rs|v(ector)?chord-postgres|mariadb|mysql(-server)?"
    r"|percona(-server)?|mongo|mongodb(-community-server)?|redis|redis-stack(-server)?|valkey|keydb|dragonfly|memcached|rabbitmq"
    r"|nats|(cp-)?kafka|redpanda|activemq(-classic|-artemis)?|elasticsearch|opensearch|influxdb|clickhouse(-server)?|cassandra"
    r"|scylla|couchdb|couchbase|neo4j|arangodb|meilisearch|typesense|qdrant|weaviate|milvus|chroma|minio|etcd|zookeeper"
    r"|(eclipse-)?mosquitto|emqx|cockroach|rethinkdb|solr|surrealdb|questdb|mssql|mssql/server|oracle-xe)"
)
OUTSIDE = Refusal(
    "Compose file and environment",
    "{file}: {where} has the path '{path}', which leaves the folder of the Compose file. Write an absolute path, or put what it "
    "names beside that file.",
    "write an absolute path, or move what it names into the folder of the Compose file",
)


def is_database(image: str) -> bool:
    """Whether an image is a known database or broker."""
    return bool(_KEPT.fullmatch(compose.repository(image)))


def kept(images: Mapping[str, str], keys: Mapping[str, Mapping[str, Any]], before: Mapping[str, str]) -> dict[str, str]:
    """The services that a rollout does not restart, and why: as their key ``keep`` says; without it what an earlier version of
    this tool kept, until the inventory decides; known databases; and a proxy that moves requests from one container to the next.

    Args:
        images: service -> its image.
        before: the kept services of the stable release, and why.
    """
    found = {}
    # None stands in front of itself.
    fronts = {front for name, key in keys.items() if (front := (key.get("start_first") or {}).get("proxy")) != name}
    for name, image in images.items():
        asked = (keys.get(name) or {}).get("keep")
        if asked is not None:
            found.update({name: ASKED} if asked else {})
        elif before.get(name) == EARLIER:
            found[name] = EARLIER
        elif name in fronts:
            found[name] = PROXY
        elif is_database(image):
            found[name] = IMAGE
    return found


def mounts(config: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """The paths below ``place`` that a stack's services mount, relative to it: path, kind (bind, config, secret, volume),
    service, target and whether it is read_only. A path that leaves ``place`` begins with ``..``.

    Args:
        config: the stack as Compose reads it, in a folder ``place`` far below another one that holds nothing else.
    """
    found = []
    for kind, name, entry, key in _entries(config):
        source = str(entry.get(key) or "")
        if _is_below(source, place):
            target, read_only = str(entry.get("target") or ""), bool(entry.get("read_only")) or kind in ("config", "secret")
            path = _path(source, place)
            found.append({"path": path, "kind": kind, "service": name, "target": target, "read_only": read_only})
    return found


def rebased(
    config: Mapping[str, Any], place: str, where: Mapping[str, str], data: str, file: str, leaves: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stack whose paths below ``place`` are where a release has them, and the part of the pins that says so.

    Args:
        where: path of the source -> its place on the host, for what is of the release.
        data: the folder below which everything else lies.
        file: the stack's Compose file, for a sentence.
        leaves: whether a path may leave ``place``: ``data`` is where the stack lay then.

    Raises:
        RolloutError: a path leaves ``place``.
    """
    moved = copy.deepcopy(dict(config))
    document: dict[str, Any] = {}
    for kind, name, entry, key in _entries(moved):
        source = str(entry.get(key) or "")
        if not _is_below(source, place):
            continue
        path = _path(source, place)
        if (path == ".." or path.startswith("../") or path == ".") and not leaves:
            raise OUTSIDE(file=file, where=f"{'services.' if kind == 'bind' else f'{kind}s.'}{name}", path=path)
        entry[key] = where.get(path) or _inside(path, where) or posixpath.normpath(posixpath.join(data, path))
        if kind == "bind":
            # A missing file of the release is an error, not an empty folder; data begins with one.
            fixed = {"create_host_path": False} if path in where or _inside(path, where) else {}
            entry["bind"] = {"create_host_path": True, **(entry.get("bind") or {}), **fixed}
            document.setdefault("services", {}).setdefault(name, {}).setdefault("volumes", []).append(entry)
        elif kind == "volume":
            document.setdefault("volumes", {})[name] = {"driver_opts": {key: entry[key]}}
        else:
            document.setdefault(f"{kind}s", {})[name] = {key: entry[key]}
    return moved, document


def data(config: Mapping[str, Any], place: str, where: Mapping[str, str], below: str) -> dict[str, str]:
    """The paths below ``place`` that are data: path -> its place on the host. Arguments as of `rebased`."""
    found = [str(mount["path"]) for mount in mounts(config, place)]
    return {path: posixpath.join(below, path) for path in found if path not in where and not _inside(path, where)}


def pins(wanted: Sequence[Service], images: Mapping[str, Mapping[str, Any]], tag: str, moved: Mapping[str, Any] = {}) -> str:
    """The text of the second Compose file: each service's image, by digest, and labels that tell it apart; and ``moved`` paths.

    JSON, which is YAML. Docker ignores the tag beside a digest; it stays for the reader of `docker ps`.
    """
    document = copy.deepcopy(dict(moved))
    for service in wanted:
        entry = document.setdefault("services", {}).setdefault(service.name, {})
        entry["image"] = pinned(service.image, images[service.image])
        # A kept service belongs to no release.
        entry["labels"] = {**({RELEASE_LABEL: tag} if service.released else {}), CONFIG_LABEL: service.config_hash}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def pinned(reference: str, image: Mapping[str, Any]) -> str:
    """An image as a release has it: with its digest, or by its id where no registry knows it."""
    if not image.get("digest"):
        return str(image["id"])
    return f"{reference.partition('@')[0]}@{image['digest']}"


def by_digest(reference: str, image: Mapping[str, Any]) -> str:
    """An image as the engine finds it."""
    return f"{compose.repository(reference)}@{image['digest']}" if image.get("digest") else str(image["id"])


def _inside(path: str, where: Mapping[str, str]) -> str:
    """The place of a path that lies in a folder of the release; empty if it lies in none."""
    outer = next((folder for folder in where if path.startswith(f"{folder}/")), "")
    return posixpath.join(where[outer], path[len(outer) + 1 :]) if outer else ""


def _entries(config: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """What may name a path: kind, the name of service, config, secret or volume, its entry, and the key in it."""
    for name, spec in (config.get("services") or {}).items():
        for entry in spec.get("volumes") or []:
            if isinstance(entry, dict) and entry.get("type") == "bind":
                yield "bind", name, entry, "source"
    for kind in ("config", "secret"):
        for name, spec in (config.get(f"{kind}s") or {}).items():
            if isinstance(spec, dict) and spec.get("file"):
                yield kind, name, spec, "file"
    for name, spec in (config.get("volumes") or {}).items():
        options = (spec or {}).get("driver_opts") or {}
        if isinstance(options, dict) and options.get("device"):
            yield "volume", name, options, "device"


def _path(source: str, place: str) -> str:
    return posixpath.relpath(posixpath.join(place, source), place)


def _is_below(source: str, place: str) -> bool:
    """Whether a path was relative: it lies below ``place``, or leaves it and lies in the folder far above.

    A volume's device Compose makes absolute only where its driver is named.
    """
    return source.startswith(("./", "../")) or f"{source}/".startswith(f"{far(place)}/")


def far(place: str) -> str:
    """The folder that holds nothing but the way to ``place``: a path that leaves that by a few steps is still below it."""
    return place.partition(DEEP)[0].rstrip("/")


# Compose makes paths absolute, and what left the folder would look like any other: it lies so deep that it does not get out.
DEEP = "/.source/.source/.source/.source/.source/.source"
