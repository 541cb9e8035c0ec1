"""One request over HTTP and its answer, within a total time and up to a size, however slowly or endlessly the other side sends.

A socket's own timeout starts anew with each byte that comes. Here each wait for bytes gets what is left of the whole: for the
name, the connection, TLS, a proxy, each line of the head and each piece of the body. No redirect is followed, and only http and
https are spoken.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import queue
import socket
import ssl
import threading
import urllib.request
from dataclasses import dataclass
from typing import Any, Mapping, Optional
from urllib.error import URLError

from ansible.module_utils.rollout.io import clock

# Bytes that everything around a body may have: the head, interim answers, the frames of chunks.
_HEAD = 64 * 1024
# Characters of a reason: some of them quote what the other side sent.
_REASON = 200
# Seconds in which a proxy closes a connection that it could not pass on.
_CLOSES_S = 0.1
NOT_PEM = ssl.SSLError
BROKE_OFF = "its answer broke off"


class NoAnswerError(Exception):
    """Nothing answered, or not in time; says why, in one line."""


class LostError(NoAnswerError):
    """The time was over, or the connection broke: another try may go well."""


class UntrustedError(NoAnswerError):
    """The server has a certificate that is not trusted."""


@dataclass(frozen=True)
class Reply:
    """An answer. ``body`` is None if it was longer than it may be or broke off; ``cut`` then says so, as a clause."""

    status: int
    headers: Mapping[str, str]
    body: Optional[bytes]
    cut: str = ""


def send(
    url: str,
    seconds: float,
    most: int,
    data: Optional[bytes] = None,
    headers: Optional[Mapping[str, str]] = None,
    proxies: Optional[Mapping[str, str]] = None,
    tls: Optional[ssl.SSLContext] = None,
    method: Optional[str] = None,
    addresses: tuple[str, ...] = (),
) -> Reply:
    """Send a GET, with ``data`` a POST, or that ``method``, and read the answer, whatever its status is.

    Args:
        seconds: what all of it may take.
        most: bytes that its body may have.
        proxies: scheme -> URL of the proxy (NO_PROXY of the environment holds); none by default.
        tls: which certificates are trusted; by default those of the machine (`trust`).
        addresses: those that are tried instead of the ones of the URL's name.

    Raises:
        NoAnswerError: there is none in that time, or it is not HTTP.
    """
    try:
        request = urllib.request.Request(url, data, dict(headers or {}), method=method)
        with _opener(most, tuple(sorted((proxies or {}).items())), tls, addresses).open(request, timeout=seconds) as response:
            body, cut = _body(response, most)
            return Reply(response.status, response.headers, body, cut)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _kind(error)(_reason(error)) from None


def reach(place: tuple[str, int], seconds: float, addresses: tuple[str, ...] = ()) -> None:
    """See that a connection to a name and port is accepted, and not closed at once.

    Docker's own proxy (docker-proxy) accepts on a published port before it asks the container, and then closes.

    Raises:
        NoAnswerError: it is not, in that time.
    """
    ends = clock.monotonic() + seconds
    try:
        with _connected(place, ends, addresses) as sock:
            sock.settimeout(min(_CLOSES_S, _left(ends)))
            with contextlib.suppress(socket.timeout):
                if not sock.recv(1):
                    raise ConnectionResetError("it was closed at once")
    except (OSError, ValueError) as error:
        raise _kind(error)(_reason(error)) from None


def trust(authority: str = "", verify: bool = True) -> ssl.SSLContext:
    """The certificates that are trusted: those of the machine (or of SSL_CERT_FILE), and those of the PEM file ``authority``.

    Args:
        verify: without it any certificate is.

    Raises:
        OSError: the file cannot be read, or is not one of certificates (ssl.SSLError).
    """
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(authority)
    return context


def _body(response: Any, most: int) -> tuple[Optional[bytes], str]:
    try:
        # With a size: without one http.client makes room for as much as a header or a chunk says that it is.
        body = response.read(most + 1)
    except _TooLongError as error:
        return None, str(error)
    except http.client.IncompleteRead:
        return None, BROKE_OFF
    if len(body) > most:
        return None, str(_TooLongError(most))
    return (None, BROKE_OFF) if response.length else (body, "")


def _cause(error: Exception) -> Exception:
    return error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error


def _kind(error: Exception) -> type[NoAnswerError]:
    error = _cause(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return UntrustedError
    # Refused is not lost: nobody listens there.
    lost = (socket.timeout, ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)
    return LostError if isinstance(error, lost) else NoAnswerError


def _reason(error: Exception) -> str:
    error = _cause(error)
    if isinstance(error, socket.timeout):
        return "timed out"
    return (str(getattr(error, "strerror", None) or error) or type(error).__name__)[:_REASON]


class _TooLongError(http.client.HTTPException):
    def __init__(self, most: int) -> None:
        super().__init__(f"its answer is longer than {most // 1024} KiB")


class _Stream(io.RawIOBase):
    """The bytes from a socket, until ``ends`` and up to ``most`` of them; HTTPResponse takes it for the socket."""

    def __init__(self, sock: socket.socket, ends: float, most: int) -> None:
        self._sock, self._ends, self._most, self._left = sock, ends, most, most + _HEAD
        self._raw = sock.makefile("rb", buffering=0)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        if self._left < 0:
            raise _TooLongError(self._most)
        self._sock.settimeout(_left(self._ends))
        got = self._raw.readinto(buffer)
        self._left -= got or 0
        # TLS may follow behind a proxy's answer.
        self._sock.settimeout(_left(self._ends))
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(ends: float) -> float:
    """The seconds that are left.

    Raises:
        socket.timeout: none.
    """
    left = ends - clock.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return left


class _Http(http.client.HTTPConnection):
    """A connection whose timeout is that of the whole request."""

    def __init__(self, host: str, *, most: int, timeout: float, addresses: tuple[str, ...] = (), **options: Any) -> None:
        super().__init__(host, timeout=timeout, **options)
        ends = clock.monotonic() + timeout
        self._create_connection = lambda address, *_options: _connected(address, ends, addresses)
        self.response_class = functools.partial(_response, ends=ends, most=most)  # type: ignore[assignment]


def _response(sock: Any, *, ends: float, most: int, **options: Any) -> http.client.HTTPResponse:
    stream: Any = _Stream(sock, ends, most)
    return http.client.HTTPResponse(stream, **options)


class _Https(_Http, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.AbstractHTTPHandler):
    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, most: int, tls: Optional[ssl.SSLContext], addresses: tuple[str, ...]) -> None:
        super().__init__()
        self._given = tls
        self._how: dict[str, Any] = {"most": most, "addresses": addresses}

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        # Made where it is needed: most requests are http, and to read the machine's certificates takes longer than they do.
        return self._given or trust()

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(_Http, **self._how), request)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(_Https, **self._how), request, context=self._tls)


@functools.lru_cache(maxsize=64)
def _opener(
    most: int, proxies: tuple[tuple[str, str], ...], tls: Optional[ssl.SSLContext], addresses: tuple[str, ...]
) -> urllib.request.OpenerDirector:
    # None of those that urllib takes by itself: files, FTP, redirects, answers to challenges, proxies of the environment.
    opener = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [_Handler(most, tls, addresses), urllib.request.UnknownHandler()]
    if proxies:
        handlers.append(urllib.request.ProxyHandler(dict(proxies)))
    for handler in handlers:
        opener.add_handler(handler)
    return opener


def _connected(address: tuple[str, int], ends: float, known: tuple[str, ...] = ()) -> socket.socket:
    """A connection to one of the addresses of a name, or of those that are ``known``; each is tried for its share of the time
    that is left."""
    found = [one for host in known for one in _addresses((host, address[1]), ends)] if known else _addresses(address, ends)
    for number, (family, kind, protocol, _name, where) in enumerate(found, 1):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(ends) / (len(found) - number + 1))
            sock.connect(where)
            sock.settimeout(_left(ends))
            return sock
        except OSError:
            sock.close()
            if number == len(found):
                raise
    raise OSError("its name has no address")


def _addresses(address: tuple[str, int], ends: float) -> list[Any]:
    """The addresses of a name. A resolver takes its own time, and cannot be stopped: it is left alone when time is over."""
    # Nobody else is asked for these, and a thread costs as much as the rest of a request.
    asks = 0 if address[0] == "localhost" else socket.AI_NUMERICHOST
    with contextlib.suppress(socket.gaierror):
        return socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=asks)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look() -> None:
        try:
            answers.put(socket.getaddrinfo(*address, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        answer = answers.get(timeout=_left(ends))
    except queue.Empty:
        raise socket.timeout("timed out") from None
    if isinstance(answer, Exception):
        raise answer
    return list(answer)
