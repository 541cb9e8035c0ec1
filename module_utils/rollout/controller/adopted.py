"""What the inventory says of a project that is taken over: what is known of it, and what is guessed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Collection, Iterator, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from ansible.module_utils.rollout.controller.adoption import Project, private
from ansible.module_utils.rollout.controller.source import TAG
from ansible.module_utils.rollout.domain import env_file, pins
from ansible.module_utils.rollout.domain.interpolation import TemplateError, interpolate
from ansible.module_utils.rollout.domain.mask import SHORTEST
from ansible.module_utils.rollout.domain.source import OWN
from ansible.module_utils.rollout.domain.urls import is_port, is_url

# In a reference to an image, what follows the name.
_VERSION = re.compile(r"(?:\$\{?)([A-Za-z_][A-Za-z0-9_]*)")
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::\d+)?(?:/[^\s'\"|;&)]*)?")
# A tag that says which version it is. `latest` and the like move.
_FIXED = re.compile(r"(?=.*\d)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_ANYWHERE = ("", "0.0.0.0", "::")  # nosec B104 # an answer of the engine
_WHY_DATA = {"large": "it is large", "binary": "it is not text", "denied": "it could not be read", "absent": "it is not there"}


@dataclass
class Adopted:
    """One project as its inventory has it.

    ``services`` are the keys of each service, ``why`` the words beside each guess: (service, key) -> why. ``secrets`` were moved
    out of the environment files; ``private`` are files that hold some and stay whole. ``tag`` names the release that runs, if
    ``tag_variable`` does.
    """

    folder: str
    compose: list[str]
    files: dict[str, tuple[bytes, int]]
    env_files: Optional[list[str]] = None
    profiles: list[str] = field(default_factory=list)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    why: dict[tuple[str, str], str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    private: list[str] = field(default_factory=list)
    allow_unset: list[str] = field(default_factory=list)
    tag_variable: str = ""
    tag: str = ""
    notes: list[str] = field(default_factory=list)

    def same(self) -> tuple[Any, ...]:
        """What two hosts must have in common in order to share a stack. Their states may differ."""
        return (
            *(self.folder, self.compose, self.files, self.env_files, self.profiles, self.services),
            *(self.secrets, self.allow_unset, self.tag_variable, self.tag),
        )


def of(project: Project) -> Adopted:
    """What the inventory says of a project whose files were all asked for.

    Raises:
        RolloutError: it cannot be taken over; says why.
    """
    files, values = project.taken(), project.values()
    found = Adopted(project.folder, project.compose, files)
    found.env_files = None if project.env_files in ([], [OWN]) else project.env_files
    _move_secrets(project, found, values)
    specs = _services(project)
    running = {str(one["service"]): one for one in project.facts["services"]}
    found.profiles = profiles(project)
    for name, one in running.items():
        _guess(found, name, one, bool(_awaited(specs, name)))
    found.tag_variable, found.tag = _version(_images(project), values)
    found.allow_unset = [name for name in _unset(project, values) if name not in (found.tag_variable, TAG)]
    found.notes += [*project.facts["notes"], *_remarks(project, found, specs)]
    return found


def profiles(project: Project) -> list[str]:
    """The profiles of those services that have containers."""
    running = {str(one["service"]) for one in project.facts["services"]}
    return sorted({one for name, spec in _services(project).items() if name in running for one in _profiles(spec)})


def _move_secrets(project: Project, found: Adopted, values: Mapping[str, str]) -> None:
    """Take the secrets out of the environment files that are the stack's; what a service reads itself stays whole."""
    whole = {need.path for need in project.needs}
    for name in project.env_files:
        if name in whole:
            continue
        text = project.text(name) or ""
        own = {one for one in env_file.parse(text, values.get, name) if one in values and env_file.is_secret(one, values[one])}
        found.secrets.update({one: values[one] for one in sorted(own)})
        left = env_file.without(text, own, name)
        # One without a secret stays byte for byte.
        if left.split() != text.removeprefix("\ufeff").split():
            found.files[name] = (left.encode(), found.files[name][1])
    found.private = [name for name, (content, _mode) in found.files.items() if private(project, name, content)]


def _guess(found: Adopted, name: str, one: Mapping[str, Any], awaited: bool) -> None:
    """Guess the keys of a service by what runs."""

    def say(key: str, value: Any, why: str) -> None:
        found.services.setdefault(name, {})[key] = value
        found.why[name, key] = why

    if pins.is_database(str(one["image"])):
        say("keep", True, "a database or broker, by the name of its image")
        return
    if one["state"] == "exited" and one["code"] == 0 and one["restart"] in ("no", "on-failure"):
        if not awaited:
            say("job", "before", "it has ended by itself, with status 0")
        return
    if one["check"]:
        # Docker asks it.
        return
    url = _url(one)
    port = next((row for row in one["ports"] if row["protocol"] == "tcp"), None)
    if url:
        say("health", [url], "the health check of its image, at the port that it publishes")
    elif port and is_port(gate := f"tcp://{_address(str(port['address']))}:{port['published']}"):
        say("health", [gate], "the port that it publishes; it has no health check")


def _url(one: Mapping[str, Any]) -> str:
    """The URL that the image's health check asks, as the host sees it; empty if there is none, or its port is not published."""
    read = _URL.search(str(one["image_check"]))
    if not read or not is_url(read[0]):
        return ""
    parts = urlsplit(read[0])
    inner = parts.port or (443 if parts.scheme == "https" else 80)
    port = next((row for row in one["ports"] if row["protocol"] == "tcp" and row["target"] == inner), None)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{_address(str(port['address']))}:{port['published']}{path or '/'}" if port else ""


def _address(bound: str) -> str:
    if bound in _ANYWHERE:
        return "127.0.0.1"
    return f"[{bound}]" if ":" in bound else bound


def _services(project: Project) -> dict[str, dict[str, Any]]:
    """The services of the project, each with its keys; of a key that several files have, the last one, and of needs all."""
    only_extended = {need.path for need in project.needs if need.key == "extends"} - {
        *project.compose,
        *(need.path for need in project.needs if need.key == "include"),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, spec in _written(project, only_extended):
        before = found.setdefault(name, {})
        needs = [one for one in (before.get("depends_on"), spec.get("depends_on")) if isinstance(one, Mapping)]
        before.update(spec)
        if needs:
            before["depends_on"] = {key: value for one in needs for key, value in one.items()}
    return found


def _images(project: Project) -> list[str]:
    """The images that the files name, also where they are extended or overridden."""
    return [str(spec["image"]) for _name, spec in _written(project, ()) if "image" in spec]


def _written(project: Project, without: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file, found in project.documents.items():
        for document in found if file not in without else ():
            services = document.get("services") if isinstance(document, Mapping) else None
            for name, spec in services.items() if isinstance(services, Mapping) else ():
                if isinstance(spec, Mapping):
                    yield str(name), spec


def _profiles(spec: Mapping[str, Any]) -> list[str]:
    """The profiles of a service, of which Compose needs one."""
    named = spec.get("profiles")
    return [str(one) for one in named if isinstance(one, str)] if isinstance(named, list) else []


def _awaited(specs: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether another service waits until that one has ended."""
    for spec in specs.values():
        needs = spec.get("depends_on")
        one = needs.get(name) if isinstance(needs, Mapping) else None
        if isinstance(one, Mapping) and one.get("condition") == "service_completed_successfully":
            return True
    return False


def _version(images: Sequence[str], values: Mapping[str, str]) -> tuple[str, str]:
    """The variable that names the release in the tags of images, and what it is today.

    Only one whose value says a version: by a tag that moves, the first rollout would bring a newer image than the one that runs.
    """
    tags = [image.rpartition("/")[2].partition("@")[0].partition(":")[2] for image in images]
    names = {name for tag in tags for name in _VERSION.findall(tag)}
    for name in sorted(names, key=lambda one: (one != TAG, one)):
        tag = next((value for one in tags if name in _VERSION.findall(one) and (value := _today(one, name, values))), "")
        if name == TAG or (len(names) == 1 and _FIXED.fullmatch(tag)):
            return name, tag
    return "", ""


def _today(text: str, name: str, values: Mapping[str, str]) -> str:
    """The value that a variable has in a text, which may give a default."""
    if values.get(name):
        return values[name]
    alone = re.search(rf"\$\{{{re.escape(name)}:?-([^${{}}]*)\}}", text)
    return alone[1] if alone else ""


def _unset(project: Project, values: Mapping[str, str]) -> list[str]:
    """The variables that the Compose files use and that have neither a value nor a default: they were empty, or of a shell."""
    found = set()
    for name in project.documents:
        for one in _VARIABLE.finditer(
            "\n".join(line for line in (project.text(name) or "").splitlines() if line.strip()[:1] != "#")
        ):
            if not one[1]:
                found.add(one[2] or one[3])
    return sorted(name for name in found if name not in values)


def _remarks(project: Project, found: Adopted, specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the reader of the inventory should know, a sentence each."""
    notes = [
        f"./{path} is mounted and stays on the host: {_WHY_DATA.get(why, 'it is not configuration')}."
        for path, why in sorted(project.data.items())
    ]
    for one in project.facts["services"]:
        job = one["service"] in found.services and "job" in found.services[one["service"]]
        if one["state"] != "running" and not job and not _awaited(specs, str(one["service"])):
            notes.append(f"Service {one['service']} does not run ({one['state'] or 'no container'}); a rollout starts it.")
    absent = sorted(name for name in specs if name not in {str(one["service"]) for one in project.facts["services"]})
    for name in absent:
        if not set(_profiles(specs[name])):
            notes.append(f"Service {name} has no container; a rollout starts it.")
    inline = sorted({f"{name}.{key}" for name, spec in specs.items() for key in _inline(spec)})
    if inline:
        notes.append(f"The Compose files hold values that look like secrets, in {', '.join(inline)}: they stay there.")
    plain = [path for path in project.shared("secrets") if path in found.files]
    if plain:
        notes.append(
            f"{', '.join(plain)} is a secret in plain. ansible-vault encrypt hides it here. On a host it is for its owner alone "
            "then, and a service that runs as another user cannot read it."
        )
    short = [name for name, value in found.secrets.items() if len(value) < SHORTEST]
    if short:
        notes.append(
            f"{', '.join(short)} has fewer than {SHORTEST} characters: give it a longer value, or set "
            "rollout_allow_short_secrets."
        )
    if found.allow_unset:
        notes.append(
            f"{', '.join(found.allow_unset)} has no value in the environment files: it was empty, or came from a shell. If so, "
            "write it under `environment`."
        )
    return notes


def _inline(spec: Mapping[str, Any]) -> Sequence[str]:
    """The variables of a service whose values stand in the Compose file and look like secrets."""
    given = spec.get("environment")
    pairs = [str(one).partition("=")[::2] for one in given] if isinstance(given, list) else []
    if isinstance(given, Mapping):
        pairs = [(str(name), str(value)) for name, value in given.items() if value is not None]
    return [name for name, value in pairs if _literal(value) and env_file.is_secret(name, value)]


def _literal(value: str) -> bool:
    try:
        return bool(value) and interpolate(value, lambda _name: "") == value
    except TemplateError:
        return False
