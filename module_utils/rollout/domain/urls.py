"""The URLs that a gate names, as text. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from ansible.module_utils.rollout.domain.dotenv import MASK


def is_url(value: Any) -> bool:
    """Whether it is an http or https URL that can be asked."""
    try:
        parts = urlsplit(str(value))
        # A port that is none shows when it is asked for.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_port(value: Any) -> bool:
    """Whether it is tcp://NAME:PORT."""
    try:
        parts = urlsplit(str(value))
        rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        return parts.scheme == "tcp" and bool(parts.hostname) and bool(parts.port) and not rest
    except ValueError:
        return False


def host(url: str) -> str:
    """The name or address in a URL, in small letters."""
    return urlsplit(url).hostname or ""


def shown(url: str) -> str:
    """A URL, or what was meant to be one, without the password in it."""
    scheme, slashes, rest = url.partition("//")
    place = rest.split("/")[0].split("?")[0].split("#")[0]
    user, at, _host = place.rpartition("@")
    name, colon, _password = user.partition(":")
    return f"{scheme}{slashes}{name}:{MASK}{rest[len(user) :]}" if at and colon else url


def without_user(url: str) -> tuple[str, str]:
    """A URL without the user in it, and that user: ``name:password``, or empty."""
    scheme, slashes, rest = url.partition("//")
    place = rest.split("/")[0].split("?")[0].split("#")[0]
    user, at, _host = place.rpartition("@")
    return f"{scheme}{slashes}{rest[len(user + at) :]}", unquote(user)
