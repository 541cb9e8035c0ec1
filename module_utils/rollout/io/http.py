"""Asking a URL, and telling it something."""

from __future__ import annotations

import base64
import functools
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional, Sequence
from urllib.parse import urlsplit

from ansible.module_utils.rollout.domain import health, urls
from ansible.module_utils.rollout.domain.answer import Answer, document, read_answer
from ansible.module_utils.rollout.domain.haproxy import HEADER
from ansible.module_utils.rollout.io import masking

if TYPE_CHECKING:
    import ssl

# Bytes of an answer that are read: no health check says more.
MOST = 64 * 1024


def ask(url: str, timeout: float = 3.0, **how: Any) -> Answer:
    """One GET, of ``timeout`` seconds in all. Whatever goes wrong is an answer too, and so is a redirect: it is not followed.

    Args:
        how: ``ca`` (a PEM file beside the machine's certificates), ``insecure`` (any certificate will do), ``addresses`` (those
            that are tried, one after the other, instead of what the name in the URL means to this host).
    """
    return _request(url, None, timeout, **how)


def tell(url: str, document: dict[str, Any], timeout: float = 3.0, **how: Any) -> Answer:
    """One POST of a JSON document. Otherwise as `ask`."""
    return _request(url, json.dumps(document).encode(), timeout, **how)


def connect(url: str, timeout: float = 3.0, addresses: Sequence[str] = ()) -> Answer:
    """Whether tcp://NAME:PORT accepts a connection."""
    from ansible.module_utils.rollout.io import http_request

    parts, shown = urlsplit(url), _shown(url)
    try:
        http_request.reach((str(parts.hostname), int(parts.port or 0)), timeout, tuple(addresses))
    except http_request.NoAnswerError as error:
        return Answer(shown, None, fault=health.NO_CONNECTION.text(url=shown, reason=_reason(error, addresses)))
    return Answer(shown, None, fault="")


def untrusted(ca: str) -> str:
    """Why a PEM file cannot be used as a CA; empty if it can."""
    from ansible.module_utils.rollout.io import http_request

    try:
        http_request.trust(ca)
    except http_request.NOT_PEM:
        return "it is not a PEM file of certificates"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


@functools.lru_cache(maxsize=8)
def _trust(ca: str, insecure: bool) -> Optional[ssl.SSLContext]:
    from ansible.module_utils.rollout.io import http_request

    # Kept: to read the machine's certificates takes longer than a request.
    return http_request.trust(ca, not insecure) if ca or insecure else None


def _shown(url: str) -> str:
    return masking.masked(urls.shown(url))


def _reason(error: object, addresses: Sequence[str]) -> str:
    at = f", at {' and '.join(addresses)}" if addresses else ""
    return masking.masked(str(error).lower()) + at


def _request(
    url: str, data: Optional[bytes], timeout: float, ca: str = "", insecure: bool = False, addresses: Sequence[str] = ()
) -> Answer:
    # To load it takes as long as to load a third of this package: neither agent nor guard begins with it.
    from ansible.module_utils.rollout.io import http_request

    shown, (plain, user) = _shown(url), urls.without_user(url)
    headers = {"Content-Type": "application/json"} if data else {}
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    try:
        tls = _trust(ca, insecure) if url.lower().startswith("https:") else None
        # No proxy: a URL of a gate names this host or a neighbour.
        reply = http_request.send(plain, timeout, MOST, data, headers, tls=tls, addresses=tuple(addresses))
    except http_request.UntrustedError as error:
        # OpenSSL's own words, without the line of C behind them.
        why = re.sub(r".*verify failed: | \(_ssl\.c.*", "", str(error))
        return Answer(shown, None, fault=health.UNTRUSTED.text(url=shown, reason=_reason(why, addresses)))
    except http_request.NoAnswerError as error:
        return Answer(shown, None, reason=_reason(error, addresses))
    except OSError:
        return Answer(shown, None, fault=health.UNTRUSTED.text(url=shown, reason=f"its ca {ca}: {untrusted(ca)}"))
    found = read_answer(shown, reply.status, _json(reply.body), reply.headers.get("Location"), masking.masked)
    return replace(found, container=str(reply.headers.get(HEADER) or "")[:64], cut=reply.cut)


def _json(body: Optional[bytes]) -> Any:
    try:
        return None if body is None else document(body)
    except ValueError:
        return None
