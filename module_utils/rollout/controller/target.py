"""Which release the operator means: asks the registries or the ledgers, on the controller."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.controller.registry_session import MissingError
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import reference
from ansible.module_utils.rollout.domain.reference import Reference
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import logins

# Stands for the release's tag where Compose reads the files before that is known. Nobody's tag looks so.
PLACEHOLDER = "rollout-00-the-tag-of-the-release"
# Seconds for an answer that is only told.
QUICK_S = 3.0
NOT_ONE_RELEASE = Refusal(
    "The release",
    "The images at tag {tag} are not one release: {which}. A build is under way or failed half-way; name the release with -e "
    "sha=…",
    "wait until the build has ended, or name a commit with `-e sha=…`",
)
NOTHING_FOLLOWS = Refusal(
    "The release",
    "{typed} names a release, but no image in the Compose files has {variables} in its reference: it would be the same images "
    "whatever you type. Leave it out (a release of files alone), or write the variable into the image: web:${{IMAGE_TAG}}.",
    "leave out `-e sha=…` or `-e tag=…`; or name the variable that the images have in `tag_variable`",
)
OTHER_FILES = Refusal(
    "The release",
    "{tag} is a release of other files than those that are here, which make {files}. To roll these out: ansible-playbook "
    "rollout.yml. To bring the earlier ones back: ansible-playbook rollback.yml -e tag={tag}",
    "type the one or the other",
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "action": {"type": "str", "choices": ["rollout", "rollback"], "default": "rollout"},
    "sha": {"type": "str"},
    "tag": {"type": "str"},
    "registry": {"type": "str"},
    "registries": {"type": "dict", "default": {}, "no_log": True},
    "following": {"type": "list", "elements": "str", "default": []},
    "fixed": {"type": "list", "elements": "str", "default": []},
    "refresh": {"type": "list", "elements": "str", "default": []},
    "floating": {"type": "list", "elements": "str", "default": []},
    "files": {"type": "str", "default": ""},
    "variables": {"type": "list", "elements": "str", "default": []},
    "username": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "insecure": {"type": "bool", "default": False},
    "ca": {"type": "path"},
    "timeout": {"type": "float", "default": 20},
    "platforms": {"type": "list", "elements": "str", "default": []},
    "ledgers": {"type": "dict", "default": {}},
    "first": {"type": "str"},
    "refusal": {"type": "str", "default": ""},
}


@dataclass(frozen=True)
class _Image:
    """An image that follows the release: ``text`` is its reference with `PLACEHOLDER`, which in its tag stands between ``before``
    and ``after``."""

    text: str
    parsed: Reference
    before: str = ""
    after: str = ""

    @property
    def plain(self) -> bool:
        """Whether its tag is the release's and nothing else."""
        return not (self.before or self.after)


def find(params: Mapping[str, Any], used: Optional[list[str]] = None) -> dict[str, Any]:
    """Answer for the planned action: release, tag (what it was asked for by), images (reference -> digest, platforms, and whether
    they count whatever a host has and follow the release) and names (host -> directory).

    Args:
        used: takes the passwords of docker's own logins that were sent to registries.

    Raises:
        RolloutError: there is no such release, or it is not one.
    """
    if params["refusal"]:
        return {"failed": True, "msg": params["refusal"]}
    return _for_rollback(params) if params["action"] == "rollback" else _for_rollout(params, [] if used is None else used)


def secrets(params: Mapping[str, Any]) -> list[Any]:
    """The passwords that the inventory has for registries."""
    return [params["password"], *(login.get("password") for login in params["registries"].values())]


def _for_rollout(params: Mapping[str, Any], used: list[str]) -> dict[str, Any]:
    """Resolve every image at once."""
    known: dict[str, Registry] = {}

    def registry(host: str) -> Registry:
        known[host] = known.get(host) or Registry(host, *_login(params, host, used))
        return known[host]

    release, tag, wrong = "", "", Faults()
    images: dict[str, dict[str, Any]] = {}
    if params["following"]:
        tag = reference.wanted_tag(params["sha"], params["tag"])
        with wrong.gather():
            release, images = _following(registry, params["following"], tag, params["platforms"])
    elif params["tag"] and params["tag"].startswith("files-"):
        # As the screens write it.
        if params["tag"] != params["files"]:
            raise OTHER_FILES(tag=params["tag"], files=params["files"])
    elif params["sha"] or params["tag"]:
        variables = " or ".join(sorted({f"${{{name}}}" for name in params["variables"]})) or "${IMAGE_TAG}"
        raise NOTHING_FOLLOWS(typed=f"sha={params['sha']}" if params["sha"] else f"tag={params['tag']}", variables=variables)
    with wrong.gather():
        images.update(_fixed(registry, params))
    wrong.refuse()
    images.update(_moved(params, used))
    return {"changed": False, "release": release or params["files"], "tag": tag, "images": images, "names": {}}


def _image(text: str) -> _Image:
    """Read a reference that has the placeholder.

    Raises:
        RolloutError: it is not an image reference.
    """
    parsed = reference.parse(text)
    before, found, after = (parsed.tag or "").partition(PLACEHOLDER)
    return _Image(text, parsed, before, after) if found else _Image(text, parsed)


def _following(registry: Any, texts: list[str], tag: str, platforms: list[str]) -> tuple[str, dict[str, dict[str, Any]]]:
    """The release that a tag is, and its images. Those whose tag is the release's alone say how that is written."""
    found: dict[str, dict[str, Any]] = {}
    releases: dict[str, str] = {}
    images, written, wrong = list[_Image](), tag, Faults()
    for text in texts:
        with wrong.gather():
            images.append(_image(text))
    for image in sorted(images, key=lambda one: not one.plain):
        with wrong.gather():
            path = image.parsed.path.replace(PLACEHOLDER, written)
            asked = registry(image.parsed.registry)
            fixed = "" if PLACEHOLDER in str(image.parsed.tag) else image.parsed.tag or "latest"
            resolved = asked.resolve(path, fixed or written, platforms, *([] if fixed else [image.before, image.after]))
            named = resolved.pop("tag")
            if not fixed:
                written = named
                name = path.rpartition("/")[2] + (f" ({image.before}…{image.after})" if not image.plain else "")
                where, whole = f"{image.parsed.registry}/{path}", image.before + named + image.after
                releases[name] = reference.release_name(named, resolved["revision"], where, whole)
            found[image.text] = resolved
    wrong.refuse()
    release = reference.one_release(releases.values()) if releases else tag
    if not release:
        which = ", ".join(f"{name} is {one}" for name, one in sorted(releases.items()))
        raise NOT_ONE_RELEASE(tag=tag, which=which)
    return release, {
        text.replace(PLACEHOLDER, release): {**resolved, "now": True, "follows": True} for text, resolved in found.items()
    }


def _fixed(registry: Any, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The images that do not follow the release, as far as a host lacks one, or the operator wants the newest."""
    found, wrong = {}, Faults()
    for text in params["fixed"]:
        with wrong.gather():
            parsed = reference.parse(text)
            resolved = registry(parsed.registry).resolve(
                parsed.path, parsed.digest or parsed.tag or "latest", params["platforms"]
            )
            found[text] = {**resolved, **({"now": True} if text in params["refresh"] else {})}
            found[text].pop("tag")
    wrong.refuse()
    return found


def _moved(params: Mapping[str, Any], used: list[str]) -> dict[str, dict[str, Any]]:
    """What the tags of images mean now that stay at their digest whatever that is: only to be told. A registry that does not say
    it in a few seconds is not waited for."""
    from concurrent.futures import ThreadPoolExecutor

    quick = {**params, "timeout": min(params["timeout"], QUICK_S)}

    def look(text: str) -> str:
        with contextlib.suppress(RolloutError, MissingError):
            parsed = reference.parse(text)
            return Registry(parsed.registry, *_login(quick, parsed.registry, used)).digest(parsed.path, parsed.tag or "latest")
        return ""

    if not params["floating"]:
        return {}
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(params["floating"], pool.map(look, params["floating"])))
    return {text: {"digest": digest} for text, digest in found.items() if digest}


def _login(params: Mapping[str, Any], host: str, used: list[str]) -> tuple[Any, ...]:
    """How to ask a registry: as ``registries`` says, as the inventory's own registry is asked, or else as docker is logged in to
    it on this controller, as `docker pull` does it."""
    own = params["registries"].get(host) or {}
    if not own and params["registry"] and reference.registry_of(f"{params['registry']}/x") == host:
        own = {key: params[key] for key in ("username", "password", "insecure", "ca")}
    username, password = str(own.get("username") or ""), str(own.get("password") or "")
    if not username:
        username, password = logins.found(host)
        used.append(password)
    return username, password, bool(own.get("insecure")), params["timeout"], str(own.get("ca") or "")


def _for_rollback(params: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the stable release from the ledgers."""
    tag = reference.wanted_tag(params["sha"], params["tag"], default="") or None
    histories = {}
    for host, data in params["ledgers"].items():
        known, history = ([ledgers.Stable(**entry) for entry in data[key]] for key in ("known", "history"))
        interrupted = [data["interrupted"]] if data.get("interrupted") else []
        histories[host] = ledgers.Ledger(known=known, history=history, open=interrupted)
    targets = ledgers.rollback_target(histories, params["first"], tag)
    release, names = targets[params["first"]].release, {h: s.name for h, s in targets.items()}
    return {"changed": False, "release": release, "tag": tag or "", "images": {}, "names": names}
