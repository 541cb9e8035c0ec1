"""The documents of a registry: index, manifest and configuration (OCI image specification). Pure.

A registry may write what it likes into them: each value that is used is of its type and within its bounds, or the document is
refused. Each error is a clause that says why.
"""

from __future__ import annotations

import re
from typing import Any, Collection, Iterable, Optional

from ansible.module_utils.rollout.domain import reference

INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
CONFIG = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_REVISION = "org.opencontainers.image.revision"
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_PLATFORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
# Images in one index: each costs two requests. Docker Hub's official images have about ten.
IMAGES = 64


class WrongError(Exception):
    """A document is not what it has to be; says why."""


def listed(document: dict[str, Any]) -> Optional[list[tuple[str, str]]]:
    """The images that an index lists, without attestations: platform (``os/arch``, empty where it names none) and digest.

    None if the document is one image itself.

    Raises:
        WrongError: it is neither.
    """
    if document.get("mediaType") not in INDEX and "manifests" not in document:
        return None
    found = []
    for item in _list(document, "manifests"):
        entry = _mapping({"entry": item}, "entry")
        platform = _mapping(entry, "platform")
        names = platform.get("os"), platform.get("architecture")
        # An entry that is not for a machine has these two (BuildKit's attestations), or an artifact type (OCI).
        if "unknown" in names or (entry.get("artifactType") and not platform):
            continue
        found.append((_platform(*names) if all(names) else "", _digest(entry)))
    if len(found) > IMAGES:
        raise WrongError(f"its index lists more than {IMAGES} images")
    return found


def chosen(images: Iterable[tuple[str, str]], platforms: Collection[str]) -> tuple[list[str], list[str]]:
    """The digests of an index's images that are for one of ``platforms``, or may be, and the platforms of the others.

    Those that name their platform come first. All images, where none is for these.
    """
    named = sorted(images, key=lambda one: not one[0])
    wanted = [one for one in named if not one[0] or one[0] in platforms] or named
    return [digest for _name, digest in wanted], [name for name, digest in named if (name, digest) not in wanted]


def is_image(manifest: dict[str, Any]) -> bool:
    """Whether it is one of an image to be run, and not of a signature or another artifact."""
    return _mapping(manifest, "config").get("mediaType") in (None, *CONFIG)


def configuration(manifest: dict[str, Any]) -> str:
    """The digest of an image's configuration.

    Raises:
        WrongError: it has none.
    """
    return _digest(_mapping(manifest, "config"))


def image(manifest: dict[str, Any], config: dict[str, Any]) -> tuple[str, list[dict[str, Any]], Optional[str]]:
    """Platform (``os/arch``), layers (each with diff_id, size in compressed bytes and digest) and commit of an image, if it
    names one.

    Raises:
        WrongError: they are not there, or not what they have to be.
    """
    blobs = [_blob(layer) for layer in _list(manifest, "layers")]
    ids = _list(_mapping(config, "rootfs"), "diff_ids")
    if not all(reference.is_digest(one) for one in ids):
        raise WrongError("a diff_id is not a sha256 digest")
    if len(ids) != len(blobs):
        # Docker and containerd refuse it too, after the pull.
        raise WrongError(f"it has {len(blobs)} layers and {len(ids)} diff_ids")
    platform = _platform(config.get("os", "linux"), config.get("architecture", "amd64"))
    revision = _mapping(_mapping(config, "config"), "Labels").get(_REVISION)
    commit = revision if isinstance(revision, str) and _COMMIT.fullmatch(revision) else None
    return platform, [{"diff_id": one, **blob} for one, blob in zip(ids, blobs)], commit


def tags(document: dict[str, Any]) -> list[Any]:
    """The items of a list of tags, of any type.

    Raises:
        WrongError: it is not a list.
    """
    return _list(document, "tags")


def _platform(system: Any, architecture: Any) -> str:
    if not all(isinstance(one, str) and _PLATFORM.fullmatch(one) for one in (system, architecture)):
        raise WrongError("its platform is not a name")
    return f"{system}/{architecture}"


def _mapping(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = {} if document.get(key) is None else document[key]
    if not isinstance(found, dict):
        raise WrongError(f"{key} is not a mapping")
    return found


def _list(document: dict[str, Any], key: str) -> list[Any]:
    found = [] if document.get(key) is None else document[key]
    if not isinstance(found, list):
        raise WrongError(f"{key} is not a list")
    return found


def _digest(descriptor: dict[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not reference.is_digest(digest):
        raise WrongError("a digest in it is not one of sha256")
    return str(digest)


def _blob(item: Any) -> dict[str, Any]:
    """Size and digest of a layer; nothing is asked for by the digest, so one of another algorithm is left out."""
    layer = _mapping({"layer": item}, "layer")
    size, digest = layer.get("size"), layer.get("digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise WrongError("the size of a layer is not a number of bytes")
    return {"size": size, **({"digest": digest} if reference.is_digest(digest) else {})}
