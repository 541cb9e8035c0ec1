"""The conversation with a registry: https or http, the login, redirects, and other tries where it has trouble."""

from __future__ import annotations

import base64
import functools
import re
import string
import urllib.parse
import urllib.request
from typing import Any, Collection, Mapping, Optional

from ansible.module_utils.rollout.domain import reference, retry
from ansible.module_utils.rollout.domain.answer import document
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, http_request
from ansible.module_utils.rollout.io.http_request import LostError, NoAnswerError, UntrustedError

SILENT = Refusal(
    "The registry",
    "Registry {registry} does not answer ({reason}), asked for image {image}. Check that it runs and that this controller "
    "reaches {url}; nothing was touched.",
    "start it, or fix the network between controller and registry; one without TLS needs `rollout_registry_insecure`",
)
UNTRUSTED = Refusal(
    "The registry",
    "{place} shows a certificate that this controller does not trust ({reason}), asked for image {image} of registry {registry}. "
    "Name the PEM file of its CA in rollout_registry_ca (or SSL_CERT_FILE), and put that on each host as "
    "/etc/docker/certs.d/{registry}/ca.crt; nothing was touched.",
    "set `rollout_registry_ca` to the PEM file of its CA on the controller, or start Ansible with `SSL_CERT_FILE`. Docker on the "
    "hosts reads `/etc/docker/certs.d/HOST/ca.crt`",
)
NO_AUTHORITY = Refusal(
    "The registry",
    "rollout_registry_ca {path} {why}: expected a file on the controller with the certificate of the registry's CA in PEM "
    "(-----BEGIN CERTIFICATE-----).",
    "correct the path: the file is on the controller, and has the certificate of the CA in PEM",
)
NO_ACCESS = Refusal(
    "The registry",
    "Registry {registry} refuses access to image {image} {user} (HTTP {status}): set rollout_registry_username and "
    "rollout_registry_password (vaulted) to a token that may read it.",
    "set `rollout_registry_username` and `rollout_registry_password` to a token that may read, or log docker in on the "
    "controller and on each host. Some registries answer so for an image that they do not have",
)
TOO_MANY = Refusal(
    "The registry",
    "Registry {registry} says too many requests for image {image} (HTTP 429){pause}: wait, or log in.",
    "wait, or set `rollout_registry_username` and `rollout_registry_password`",
)
FAILS = Refusal(
    "The registry",
    "Registry {registry} fails on image {image} (HTTP {status}): look at the registry's own log.",
    "look at the registry's own log",
)
SENDS_ON = Refusal(
    "The registry",
    "Registry {registry} sends the request for image {image} on to {where}, {why}. Name the registry that has the image in "
    "rollout_registry.",
    "set `rollout_registry` to the registry that has the image: a login goes to the registry that is named there alone",
)
FOREIGN_TOKEN = Refusal(
    "The registry",
    "Registry {registry} names {where} as its token service for image {image}: a password goes over https, or over http to the "
    "registry itself. Correct the registry's configuration.",
    "correct the realm in the registry's configuration, which has to be an https URL",
)
NO_TOKEN = Refusal(
    "The registry",
    "The token service of registry {registry} does not answer ({reason}).",
    "check that the controller reaches it",
)


class MissingError(Exception):
    """The registry answers, but has no such thing, or does not show it; says what it was asked for, and the ``status``."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(name)
        self.status = status


_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:|$)")
_HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}
# RFC 9110, section 11.6.1. The lengths keep a search short.
_FIELD = re.compile(r'\b(\w{1,32})="([^"]{0,4096})"')
_REDIRECTS = (301, 302, 303, 307, 308)
# Redirects of one request. Bytes of a document (OCI distribution specification, pushing manifests) and of a token, and how often
# the time of one answer all answers about an image may take.
_HOPS, _DOCUMENT, _TOKEN, _WHOLE = 5, 4 * 1024 * 1024, 64 * 1024, 10


class Session:
    """Requests to one registry host, one image after the other.

    ``insecure`` is one that the engine has among its insecure-registries, and loopback always is: it is asked over https with
    whatever certificate, or over http where it does not speak TLS. ``authority`` is a PEM file of the CA of its certificate and
    of its token service's. ``timeout`` is the seconds that one answer may take; all of them about one image, with the pauses
    between tries, may take ten times that.
    """

    def __init__(self, host: str, username: str, password: str, insecure: bool, timeout: float, authority: str) -> None:
        self.host, self.username, self.password, self.timeout = host, username, password, timeout
        self._api = "registry-1.docker.io" if host == reference.DEFAULT_REGISTRY else host
        self._insecure = insecure or bool(_LOOPBACK.match(host))
        self._authority = authority
        self._method: Optional[str] = None
        self.begin()

    def begin(self) -> None:
        """Begin with an image: it has a time of its own, and the token of another one may not be for it."""
        self._authorization: dict[str, str] = {}
        self._ends = clock.monotonic() + self.timeout * _WHOLE

    @functools.cached_property
    def base(self) -> str:
        """Scheme and host. As docker does it, https goes first, and http is for a registry without TLS that may be one."""
        secure = f"https://{self._api}"
        if self._insecure:
            try:
                self._send(f"{secure}/v2/", {}, _TOKEN)
            except UntrustedError:
                return secure
            except (NoAnswerError, ValueError):
                return f"http://{self._api}"
        return secure

    def get(self, path: str, target: str, accept: str, absent: Collection[int] = (404,)) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of one answer about the image ``path``.

        Args:
            absent: the statuses that mean that it is not there.

        Raises:
            MissingError: one of ``absent``.
            RolloutError: it does not answer as it should.
        """
        for attempt in (1, 2):
            try:
                url, headers = self.base + target, {"Accept": accept}
                reply, elsewhere = self._persist(path, url, headers, self._authorization, _DOCUMENT)
            except (NoAnswerError, ValueError) as error:
                raise self.silent(path, error) from None
            if 200 <= reply.status < 300:
                if reply.body is None:
                    raise self.silent(path, reply.cut)
                return reply.body, reply.headers
            if reply.status == 401 and elsewhere:
                raise SENDS_ON(registry=self.host, image=path, where=elsewhere, why="which asks for a login")
            if reply.status != 401 or attempt == 2:
                break
            self._authorize(path, reply.headers)
        if reply.status in absent:
            raise MissingError(target.rpartition("/")[2], reply.status)
        raise self._status(path, reply)

    def head(self, path: str, target: str, accept: str) -> Mapping[str, str]:
        """The headers of one answer, without what they are about: that no registry counts as a pull. Errors as of `get`."""
        self._method = "HEAD"
        try:
            return self.get(path, target, accept)[1]
        finally:
            self._method = None

    def _persist(
        self, path: str, url: str, headers: Mapping[str, str], login: Mapping[str, str], most: int
    ) -> tuple[http_request.Reply, str]:
        """As `_follow`, again where that may help."""
        tried, waited = 1, 0.0
        while True:
            asked = 0.0
            try:
                reply, elsewhere = self._follow(path, url, headers, login, most)
                if reply.status in retry.STATUSES:
                    asked = retry.after(reply.headers.get("Retry-After"), reply.headers.get("Date"))
                elif reply.cut != http_request.BROKE_OFF:
                    return reply, elsewhere
                lost = None
            except LostError as error:
                lost = error
            pause = retry.pause(tried, waited, asked)
            if pause is None or clock.monotonic() + pause >= self._ends:
                if lost:
                    raise lost
                return reply, elsewhere
            clock.sleep(pause)
            tried, waited = tried + 1, waited + pause

    def _follow(
        self, path: str, url: str, headers: Mapping[str, str], login: Mapping[str, str], most: int
    ) -> tuple[http_request.Reply, str]:
        """Ask a URL and those that it is sent on to, but log in to the first host alone.

        Returns:
            the last answer, and which other host it is of; empty if it is of the first.
        """
        home, here = _origin(url), True
        for _hop in range(_HOPS + 1):
            try:
                reply = self._send(url, {**headers, **(login if here else {})}, most)
            except UntrustedError as error:
                raise UNTRUSTED(place=_place(url), reason=error, image=path, registry=self.host) from None
            if reply.status not in _REDIRECTS:
                return reply, "" if here else _place(url)
            url = self._onward(path, url, reply.headers.get("Location") or "")
            here = here and _origin(url) == home
        raise SENDS_ON(registry=self.host, image=path, where=_place(url), why=f"after {_HOPS} others")

    def _send(self, url: str, headers: Mapping[str, str], most: int) -> http_request.Reply:
        seconds = min(self.timeout, self._ends - clock.monotonic())
        if seconds <= 0:
            raise NoAnswerError(f"{self.timeout * _WHOLE:g} s in all are over")
        place = urllib.parse.urlsplit(url).netloc
        # As docker has it no proxy for this machine itself (golang.org/x/net/http/httpproxy).
        proxies = {} if _LOOPBACK.match(place) else urllib.request.getproxies()
        # A CA that is named is looked at, whatever the registry is.
        plain = url.startswith("http:")
        own = self._insecure and not self._authority and place == self._api
        tls = None if plain else self._untested if own else self._tested
        return http_request.send(url, seconds, most, headers=headers, proxies=proxies, tls=tls, method=self._method)

    _untested = functools.cached_property(lambda _self: http_request.trust(verify=False))

    @functools.cached_property
    def _tested(self) -> Any:
        try:
            return http_request.trust(self._authority)
        except OSError as error:
            # OpenSSL names its reason apart.
            why = "has no certificate" if hasattr(error, "reason") else f"cannot be read ({error.strerror})"
            raise NO_AUTHORITY(path=self._authority, why=why) from None

    def _onward(self, path: str, url: str, location: str) -> str:
        """Where a redirect points: over http or https, never from https to http."""
        try:
            quoted = urllib.parse.quote(location, safe=string.punctuation, encoding="iso-8859-1")
            onward = _plain(urllib.parse.urljoin(url, quoted))
        except ValueError:
            raise SENDS_ON(registry=self.host, image=path, where="an address", why="which is not one of http or https") from None
        if url.startswith("https:") and not onward.startswith("https:"):
            raise SENDS_ON(registry=self.host, image=path, where=_place(onward), why="which is without TLS")
        return onward

    def silent(self, path: str, reason: object) -> RolloutError:
        """The error about a registry that does not answer."""
        return SILENT(registry=self.host, reason=reason, image=path, url=self.base)

    def _status(self, path: str, reply: http_request.Reply) -> RolloutError:
        code = reply.status
        if code in (401, 403):
            user = f"as user {self.username}" if self.username else "without a user"
            return NO_ACCESS(registry=self.host, image=path, user=user, status=code)
        if code == 429:
            asked = retry.after(reply.headers.get("Retry-After"), reply.headers.get("Date"))
            return TOO_MANY(registry=self.host, image=path, pause=f" and asks for a pause of {asked:.0f} s" if asked else "")
        return FAILS(registry=self.host, image=path, status=code)

    def _authorize(self, path: str, headers: Any) -> None:
        """Answer the challenge of this registry itself (RFC 6750 as the distribution specification uses it, or basic)."""
        basic = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        for challenge in headers.get_all("WWW-Authenticate") or ():
            scheme, _space, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                login = {"Authorization": basic} if self.username else {}
                self._authorization = {"Authorization": f"Bearer {self._token(path, dict(_FIELD.findall(rest)), login)}"}
                return
            if scheme.lower() == "basic" and self.username:
                self._authorization = {"Authorization": basic}
                return

    def _token(self, path: str, fields: Mapping[str, str], login: Mapping[str, str]) -> str:
        """A token of the service that the registry names: any over TLS, and without it the registry's own host and port alone."""
        try:
            realm = _plain(fields.get("realm", ""))
        except ValueError:
            raise FOREIGN_TOKEN(registry=self.host, where="something that is not a URL", image=path) from None
        if not realm.startswith("https:") and _origin(realm) != _origin(self.base):
            raise FOREIGN_TOKEN(registry=self.host, where=_place(realm), image=path)
        asked = {**({"service": fields["service"]} if "service" in fields else {}), "scope": f"repository:{path}:pull"}
        url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(asked)}"
        try:
            reply, _elsewhere = self._persist(path, url, {}, login, _TOKEN)
            if not 200 <= reply.status < 300:
                raise self._status(path, reply)
            answer = document(reply.body) if reply.body is not None else None
        except (NoAnswerError, ValueError) as error:
            raise NO_TOKEN(registry=self.host, reason=error) from None
        token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise NO_TOKEN(registry=self.host, reason=reply.cut or "its answer has no token")
        return token


def _plain(url: str) -> str:
    """A URL as it is asked: of http or https, its host as it is compared, without user, password and fragment.

    Raises:
        ValueError: it is none.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _PORTS or not _HOST.fullmatch(parts.netloc) or (parts.port or 0) > 65535:
        raise ValueError("not a URL of http or https")
    return urllib.parse.urlunsplit(parts._replace(fragment=""))


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port (RFC 6454): the receiver of a request to a URL that is `_plain`."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def _place(url: str) -> str:
    """Scheme and host of a URL, to be shown."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc[:100]}"
