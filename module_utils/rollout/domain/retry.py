"""Whether a registry is asked again, and after which pause: by the controller, and by `docker pull` on a host. Pure."""

from __future__ import annotations

import re
from typing import Optional

# Statuses that say that another try may go well (RFC 9110 and RFC 6585).
STATUSES = (429, 502, 503, 504)
TRIES = 5
# Seconds of all pauses together. A registry that wants more is not waited for.
LIMIT = 60.0
FIRST = 2.0
# Errors of `docker pull` after which another try is of no use, those of a login first.
_REFUSED = re.compile(
    r"unauthorized|denied|no basic auth credentials|authentication required|forbidden|HTTP 40[13] response", re.IGNORECASE
)
_USELESS = re.compile(
    r"manifest unknown|not found|no space left|no matching manifest|x509:|gave HTTP response to HTTPS client", re.IGNORECASE
)
# GitHub's registry writes into its message what others write into a header: "toomanyrequests: retry-after: 1.5s, allowed: …".
_AFTER = re.compile(r"retry-after:? ?(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|μs|ms|s|m|h)?(?!\w)", re.IGNORECASE)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def pause(tried: int, waited: float, asked: float = 0.0) -> Optional[float]:
    """Seconds until the next try; None: no other one.

    Args:
        tried: tries so far.
        waited: seconds that all pauses before have taken.
        asked: the seconds that the registry wants to be left alone.
    """
    wanted = max(asked, FIRST * 2 ** (tried - 1))
    return wanted if tried < TRIES and waited + wanted <= LIMIT else None


def refused(said: str) -> bool:
    """Whether `docker pull` failed because the registry does not let this login pull."""
    return bool(_REFUSED.search(said))


def final(said: str) -> bool:
    """Whether `docker pull` failed of something that stays as it is."""
    return refused(said) or bool(_USELESS.search(said))


def after(header: Optional[str], sent: Optional[str]) -> float:
    """The seconds that a header ``Retry-After`` asks for (RFC 9110, section 10.2.3); 0 if there is none that can be read.

    Args:
        sent: the header ``Date`` of the same answer. A date is a time after that: whose clock is right does not matter then.
    """
    text = (header or "").strip()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    until, since = _seconds(text), _seconds(sent or "")
    return max(0.0, until - since) if until and since else 0.0


def _seconds(date: str) -> float:
    # The controller alone reads dates: hosts do without the time that these take to load.
    import email.utils
    from datetime import timezone

    try:
        found = email.utils.parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0


def after_pull(said: str) -> float:
    """The seconds that the message of a `docker pull` asks for; 0 if it names none."""
    found = _AFTER.search(said)
    return float(found[1]) * _SECONDS[(found[2] or "s").lower()] if found else 0.0
