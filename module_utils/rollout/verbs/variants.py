"""The variants of the releases on this host, as people tell them apart."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain import variants
from ansible.module_utils.rollout.domain.variants import Variant
from ansible.module_utils.rollout.io.store import Store


def said(store: Store, new: Optional[Variant] = None) -> dict[str, str]:
    """As `variants.said`, of all releases on this host, and of a ``new`` one that is to be staged there."""
    manifests = {name: store.manifest(name) for name in store.whole()}
    tags = [str(manifest["release"]) for manifest in manifests.values()] + ([new.release] if new else [])
    found = {name: _variant(store, name, m) for name, m in manifests.items() if tags.count(str(m["release"])) > 1}
    if new and new.name not in manifests:
        found[new.name] = new
    # A file that was edited by hand may hold anything.
    with contextlib.suppress(ValueError, AttributeError):
        return variants.said([found[name] for name in sorted(found, key=_number)])
    return {}


def directory(
    store: Store, release: str, files: Mapping[str, str], parts: Mapping[str, Any], resolved: Mapping[str, Mapping[str, Any]]
) -> tuple[str, bool]:
    """The name of the directory for a release with this content, and whether it is there."""
    whole = {name: _content(store, name) for name in store.whole()}
    content = {**files, "images": _digests(resolved), "parts": parts}
    return releases.variant(release, {name: whole.get(name, {}) for name in store.taken()}, content)


def _content(store: Store, name: str) -> dict[str, Any]:
    manifest = store.manifest(name)
    content: dict[str, Any] = {file: store.read(name, file) for file in manifest["files"]}
    return {**content, "images": _digests(manifest["images"]), "parts": manifest.get("parts")}


def _digests(resolved: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {r: str(image.get("digest") or image.get("id")) for r, image in resolved.items()}


def _variant(store: Store, name: str, manifest: dict[str, Any]) -> Variant:
    texts = {file: store.read(name, file) or "" for file in manifest["files"]}
    images = {reference: str(image["digest"] or image["id"]) for reference, image in manifest["images"].items()}
    return Variant(name, str(manifest["release"]), str(manifest.get("run")), texts, images)


def _number(name: str) -> tuple[str, int]:
    """`sha-abc1234`, `sha-abc1234.2`, … `sha-abc1234.10`."""
    parts = re.fullmatch(r"(.*?)(?:\.(\d+))?", name)
    return (parts[1], int(parts[2] or 1)) if parts else (name, 1)
