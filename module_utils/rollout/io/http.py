"""Asking a URL, and telling it something."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

from ansible.module_utils.rollout.domain.answer import Answer, document, read_answer
from ansible.module_utils.rollout.domain.haproxy import HEADER
from ansible.module_utils.rollout.io import masking

# Bytes of an answer that are read: no health check says more.
MOST = 64 * 1024


def ask(url: str, timeout: float = 3.0) -> Answer:
    """One GET, of ``timeout`` seconds in all. Whatever goes wrong is an answer too, and so is a redirect: it is not followed."""
    return _request(url, None, timeout)


def tell(url: str, document: dict[str, Any], timeout: float = 3.0) -> Answer:
    """One POST of a JSON document. Otherwise as `ask`."""
    return _request(url, json.dumps(document).encode(), timeout)


def _request(url: str, data: Optional[bytes], timeout: float) -> Answer:
    # To load it takes as long as to load a third of this package: neither agent nor guard begins with it.
    from ansible.module_utils.rollout.io import http_request

    try:
        # No proxy: a URL of a gate names this host or a neighbour.
        reply = http_request.send(url, timeout, MOST, data, {"Content-Type": "application/json"} if data else {})
    except http_request.NoAnswerError as error:
        return Answer(masking.masked(url), None, reason=masking.masked(str(error).lower()))
    found = read_answer(masking.masked(url), reply.status, _json(reply.body), reply.headers.get("Location"), masking.masked)
    return replace(found, container=str(reply.headers.get(HEADER) or "")[:64], cut=reply.cut)


def _json(body: Optional[bytes]) -> Any:
    try:
        return None if body is None else document(body)
    except ValueError:
        return None
