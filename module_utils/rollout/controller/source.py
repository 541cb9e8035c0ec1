"""Collects what a host needs of a stack: its compose files, what they read, its variables. A bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

import yaml
from ansible.module_utils.rollout.controller.folder import JINJA, Folder, Reader
from ansible.module_utils.rollout.domain import env_file
from ansible.module_utils.rollout.domain.release import compose_file
from ansible.module_utils.rollout.domain.source import MISSING, OUTSIDE, OWN, Need, Reading, inside, variables
from ansible.module_utils.rollout.errors import Refusal, RolloutError

NO_COMPOSE = Refusal(
    "Files of a stack",
    "{where}: there is no file {path}. Let rollout_stacks.<stack>.compose name the compose file: an absolute path, or one that "
    "begins in the folder of the inventory.",
    "correct `compose` of that stack; `{{ inventory_dir }}` and `{{ playbook_dir }}` help",
)
TWICE = Refusal(
    "Files of a stack",
    "{where}: {path} is named twice, with and without .j2. Keep one of them.",
    "keep the file or its template",
)
TAG = "IMAGE_TAG"
_KEYS = "rollout_stacks"
# Compose reads these as its own options. The release has options of its own.
_COMPOSE = "COMPOSE_"


def collect(stack: str, spec: Mapping[str, Any], first: Path, reader: Reader) -> dict[str, Any]:
    """The bundle of a stack.

    Args:
        spec: the stack, as ``rollout_stacks`` has it.
        first: its template, or the first of its compose files.

    Raises:
        RolloutError: all that is wrong with its files, one fault a line.
    """
    folder = opened(stack, first, reader)
    rendered = bool(spec.get("template"))
    if not first.is_file() and not rendered:
        raise NO_COMPOSE(where=folder.where, path=first)
    compose = [compose_file(stack)] if rendered else _compose(folder, [first.name, *(_names(spec.get("compose"))[1:])])
    with folder.wrong.gather():
        if rendered:
            folder.put(compose[0], reader.render(first).encode(), 0o644)
    for name in _names(spec.get("files")):
        _add(folder, name, "files")
    environment, secrets, asked = _variables(folder, spec)
    values = {name: str(value) for name, value in {**environment, **secrets}.items()}
    needs: list[Need] = []
    with folder.wrong.gather():
        needs = Reading(folder.where, folder.text, documents).needs(compose, values)
    for need in needs:
        folder.take(need.path, private=need.environment)
    folder.wrong.refuse()
    return {
        "files": folder.files,
        "compose": compose,
        "profiles": _names(spec.get("profiles")) or asked,
        "environment": environment,
        "secrets": secrets,
        "hidden": _hidden(folder, needs, values, secrets),
        "services": dict(spec.get("services") or {}),
        "allow_unset": _names(spec.get("allow_unset")),
        "tag_variable": str(spec.get("tag_variable") or TAG),
        "data": str(spec.get("data") or ""),
        "adopt": bool(spec.get("adopt")),
        "project": str(spec.get("project") or ""),
        "new_data": bool(spec.get("new_data")),
        "folder": str(folder.root),
        "paths": [],
    }


def main_file(spec: Mapping[str, Any], inventory: str, template: Callable[[str], str]) -> Path:
    """The path of a stack's template, or of the first of its compose files.

    Args:
        inventory: the folder in which the relative path of a compose file begins.
        template: where the relative path of a template leads.
    """
    if spec.get("template"):
        return Path(template(os.path.expanduser(str(spec["template"]))))
    return Path(inventory, os.path.expanduser(_names(spec.get("compose"))[0]))


def opened(stack: str, first: Path, reader: Reader, files: Optional[dict[str, dict[str, str]]] = None) -> Folder:
    """The source of a stack, whose first compose file that is."""
    return Folder(f"Stack {stack} ({first.parent})", first.parent, reader, files)


def listed(spec: Mapping[str, Any]) -> list[str]:
    """What a stack lists under ``files``, as the bundle names it."""
    return [inside(name.removesuffix(JINJA)) or "" for name in _names(spec.get("files"))]


def documents(text: str) -> list[Any]:
    """The documents of a compose file as far as they are YAML, with texts for all that is not empty, true or false."""
    try:
        return list(yaml.load_all(text, _Loader))  # nosec B506 # a safe loader
    except (yaml.YAMLError, RecursionError):
        # Compose says on the host what is wrong with it.
        return []


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Compose's tags, and dates that are none."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in known if tag.rpartition(":")[2] in ("merge", "null", "bool")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _tagged(loader: Any, tag: str, node: yaml.Node) -> Any:
    if tag == "reset":
        return None
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    is_list = isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True) if is_list else loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _tagged)


def _names(value: Any) -> list[str]:
    return [str(one) for one in ([value] if isinstance(value, str) else value or [])]


def _compose(folder: Folder, names: Sequence[str]) -> list[str]:
    """Add these compose files: their names in the bundle."""
    return [name for one in names if (name := _add(folder, os.path.expanduser(one), "compose"))]


def _add(folder: Folder, name: str, key: str) -> Optional[str]:
    """Add what a key of the stack names: its name in the bundle; None if that was refused."""
    path = inside(os.path.relpath(Path(name).parent.resolve() / Path(name).name, folder.root) if name.startswith("/") else name)
    if not path:
        folder.wrong.add(OUTSIDE.text(where=folder.where, file=_KEYS, key=key, path=name))
        return None
    with folder.wrong.gather():
        if path.removesuffix(JINJA) in folder.files and path.endswith(JINJA):
            raise TWICE(where=folder.where, path=path.removesuffix(JINJA))
        found = folder.render(path) if path.endswith(JINJA) else path if folder.take(path) else None
        if found is None:
            raise MISSING(where=folder.where, file=_KEYS, key=key, path=name)
        return found
    return None


def _variables(folder: Folder, spec: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The environment and the secrets of a stack, and the profiles that its environment files ask for."""
    given, hidden = dict(spec.get("environment") or {}), dict(spec.get("secrets") or {})
    named, texts = spec.get("env_files"), dict[str, str]()
    # Beside a compose file as it is, Compose reads it unasked.
    for name in _names([OWN] if named is None and spec.get("compose") and folder.exists(OWN) else named):
        path = inside(name)
        text = folder.text(path) if path else None
        if text is None:
            refusal = MISSING if path else OUTSIDE
            folder.wrong.add(refusal.text(where=folder.where, file=_KEYS, key="env_files", path=name))
        else:
            texts[name] = text
    found: dict[str, str] = {}
    with folder.wrong.gather():
        own = str(spec.get("tag_variable") or TAG)
        found = variables(texts, {name: str(value) for name, value in {**given, **hidden}.items()}, own)
    profiles = [one.strip() for one in found.get("COMPOSE_PROFILES", "").split(",") if one.strip()]
    found = {name: value for name, value in found.items() if not name.startswith(_COMPOSE) and name not in {**given, **hidden}}
    secret = {name for name, value in found.items() if env_file.is_secret(name, value)}
    environment = {**{name: value for name, value in found.items() if name not in secret}, **given}
    return environment, {**{name: found[name] for name in found if name in secret}, **hidden}, profiles


def _hidden(folder: Folder, needs: Sequence[Need], values: Mapping[str, str], secrets: Mapping[str, Any]) -> list[str]:
    """What nobody may read beside the values of the secrets."""
    found = [password for value in secrets.values() for password in env_file.passwords(str(value))]
    for need in needs:
        if need.environment and need.path in folder.files:
            text = str(folder.files[need.path].get("text") or "")
            try:
                found += env_file.hidden(text, values, need.path)
            except RolloutError:
                # `format: raw`, or what Compose refuses.
                pairs = [line.partition("=") for line in text.splitlines()]
                found += [value for name, _is, value in pairs if env_file.is_secret(name.strip(), value)]
    return list(dict.fromkeys(found))
