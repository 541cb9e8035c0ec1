"""A login beside those of this host: a copy of the settings of docker's client, with one registry's password in it.

How docker reads them: github.com/docker/cli, cli/config/configfile/file.go. An entry of ``credHelpers`` goes before
``credsStore``, and an empty one means ``auths``. Docker chooses a helper on its own only if there is no login at all.
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping

from ansible.module_utils.rollout.io.docker_command import execute, home, last_words, scrubbed, settings

# The name by which docker knows its own registry's logins.
HUB = "https://index.docker.io/v1/"
# Seconds that a credential helper may take.
HELPER_S = 20.0
_CONFIG = "config.json"
# The message of a working helper that has no login (docker-credential-helpers, credentials/error.go).
_NONE = re.compile("credentials not found in native keychain")


@dataclass(frozen=True)
class Credentials:
    """The logins for pulls: registry -> user, and why helpers of others were left out (registry -> sentence)."""

    users: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def write(directory: Path, accounts: Mapping[str, tuple[str, str]], others: Iterable[str]) -> Credentials:
    """Write the settings for a pull with those logins into an empty directory of this user alone.

    Args:
        accounts: registry -> user and password.
        others: the registries that are pulled from, whose helpers are asked whether they work here.
    """
    known = settings(home())
    auths = {**_table(known.get("auths")), **_table(_of_environment().get("auths"))}
    helpers, left_out = _table(known.get("credHelpers")), {}
    for other in sorted({*others} - {*accounts}):
        helper = helpers.get(_key(other), known.get("credsStore"))
        trouble = _trouble(str(helper), _key(other)) if helper else ""
        if trouble:
            left_out[other] = trouble
            helpers[_key(other)] = ""
    for registry, (username, password) in accounts.items():
        auths[_key(registry)] = {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}
        if known.get("credsStore") or _key(registry) in helpers:
            helpers[_key(registry)] = ""
    # Everything else holds as it does by hand: contexts, certificates, plugins, headers, proxies.
    for entry in home().iterdir() if home().is_dir() else ():
        if entry.name != _CONFIG:
            os.symlink(entry.absolute(), directory / entry.name)
    found = {**known, "auths": auths, **({"credHelpers": helpers} if helpers else {})}
    with open(os.open(directory / _CONFIG, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(found, file)
    return Credentials({registry: username for registry, (username, _password) in accounts.items()}, left_out)


def found(registry: str) -> tuple[str, str]:
    """User and password with which docker's client is logged in to a registry here; empty where it is not, or a helper fails."""
    known = settings(home())
    helper = _table(known.get("credHelpers")).get(_key(registry), known.get("credsStore"))
    if helper:
        code, out, _err = execute([f"docker-credential-{helper}", "get"], scrubbed(os.environ), HELPER_S, _key(registry))
        try:
            said = _table(json.loads(out)) if not code else {}
        except ValueError:
            said = {}
        user, password = said.get("Username"), said.get("Secret")
    else:
        auths = {**_table(known.get("auths")), **_table(_of_environment().get("auths"))}
        # Older clients wrote the name of a registry as a URL.
        entry = next((_table(auths[key]) for key in (_key(registry), f"https://{registry}") if key in auths), {})
        try:
            user, _colon, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
        except ValueError:
            user, password = "", ""
    # A token that only docker can change for one that a registry takes.
    usable = isinstance(user, str) and isinstance(password, str) and password and user != "<token>"
    return (user, password) if usable else ("", "")  # type: ignore[return-value]


def _key(registry: str) -> str:
    return HUB if registry in ("docker.io", "index.docker.io") else registry


def _table(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _of_environment() -> dict[str, Any]:
    """Docker 28 and newer take logins from there too, before those of a file: so `Docker` does not pass it on beside ours."""
    try:
        return _table(json.loads(os.environ.get("DOCKER_AUTH_CONFIG", "")))
    except ValueError:
        return {}


def _trouble(helper: str, server: str) -> str:
    """Why a credential helper does not work here; empty where it does, whether it knows a login or not."""
    program = f"docker-credential-{helper}"
    code, out, err = execute([program, "get"], scrubbed(os.environ), HELPER_S, server)
    # It prints its error on standard output, and what it knows only where it succeeds.
    return "" if not code or _NONE.search(out) else f"{program}: {last_words(out or err)}"
