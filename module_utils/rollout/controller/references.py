"""The images that a fleet's files name, put together for the registries. Pure."""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.controller.target import PLACEHOLDER
from ansible.module_utils.rollout.domain.reference import is_digest
from ansible.module_utils.rollout.errors import Refusal

NOT_THERE = Refusal(
    "What was typed",
    "{typed} names no service of this fleet. Services: {services}.",
    "spell the service as the Compose file has it",
)
NOT_FLOATING = Refusal(
    "What was typed",
    "refresh={typed} names no service or image of this fleet whose tag can move. Those that can: {floating}.",
    "spell the service as the Compose file has it, or the image as its reference; what follows the release, or has a digest, is "
    "not refreshed",
)
# All that floats.
ALL = ("true", "yes", "all")


def asked(
    read: Mapping[str, Mapping[str, Any]], refresh: str = "", typed: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[str, Any]:
    """What the registries are to be asked.

    Args:
        read: host -> what the step `read` returned there, with the sources of its stacks.
        refresh: what was typed behind ``-e refresh=``: a service, an image, or true for all.
        typed: what else was typed that names services (``replace``, ``rerun``, ``done``) -> these services; ``*`` for all.

    Returns:
        following: references whose tag the release sets, with the placeholder. fixed: the others, of which a host lacks the
        image, or which are refreshed; refresh: the latter; floating: what is left of those with a tag. files: the name of a
        release of files alone. variables: those that name a release in the files. refusal: a sentence if what was typed means
        nothing here; empty otherwise.
    """
    images = {(service, image) for said in read.values() for service, image in _images(said)}
    every = {image for _service, image in images}
    # A digest is what it is, whatever stands in front of it.
    moving = {image for image in every if not is_digest(image.partition("@")[2])}
    following = sorted(image for image in moving if PLACEHOLDER in image)
    floating = moving - set(following)
    named = {image for service, image in images if refresh in (service, image, image.rpartition(":")[0])} & floating
    fresh = floating if refresh.lower() in ALL else named if refresh else set()
    lacking = {image for said in read.values() for _service, image in _images(said) if image not in (said.get("here") or ())}
    services = {service for service, _image in images}
    refusals = []
    if refresh and not fresh:
        known = sorted(f"{service} ({image})" for service, image in images if image in floating)
        refusals.append(NOT_FLOATING.text(typed=refresh, floating=", ".join(known) or "none"))
    strangers = [f"{key}={name}" for key, names in typed.items() for name in names if name not in {*services, "*"}]
    if strangers:
        refusals.append(NOT_THERE.text(typed=" and ".join(strangers), services=", ".join(sorted(services))))
    return {
        "following": following,
        "fixed": sorted((lacking | fresh) - set(following)),
        "refresh": sorted(fresh),
        "floating": sorted(floating - lacking - fresh),
        "files": files(read),
        "variables": sorted({str(s.get("tag_variable") or "") for said in read.values() for s in _sources(said)} - {""}),
        "refusal": "\n".join(refusals) if read else "",
    }


def files(read: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of a release that its files make: by their content on all hosts, without secrets."""
    sources = {
        json.dumps({**one, "secrets": None, "hidden": None}, sort_keys=True, default=str)
        for said in read.values()
        for one in _sources(said)
    }
    return f"files-{hashlib.sha256(json.dumps(sorted(sources)).encode()).hexdigest()[:7]}"


def _images(said: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    return [pair for stack in (said.get("stacks") or {}).values() for pair in (stack.get("images") or {}).items()]


def _sources(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((said.get("sources") or {}).values())
