"""Servers on loopback that lie: a registry, as the first part of an image's name tells it to, and another host that notes all."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import time
from dataclasses import dataclass, field

REVISION = "aaaaaa1" + "0" * 33
LONG_S = 60
TAGS = ["sha-aaaaaa1", "sha-bbbbbb2\x1b]0;TITLE\x07", "sha-bbbbbb2/../../../etc", "sha-bbbbbb2$(id)", "sha-bbbbbb2\n\x1b[2J"]


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


LABELS = {"org.opencontainers.image.revision": REVISION}
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Labels": LABELS}, "rootfs": {"diff_ids": []}}).encode()
KIND = "application/vnd.oci.image.manifest.v1+json"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": KIND, "config": {"digest": digest(CONFIG)}, "layers": []}).encode()


@dataclass
class Liar:
    """One that listens: path and headers of each request that it heard, and the bodies that it was told."""

    port: int
    heard: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Base of both: notes what it is asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""

    def note(self) -> None:
        self.server.liar.heard.append(f"{self.command} {self.path}\n{self.headers}")

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Elsewhere(Handler):
    """Where nobody should send a password: it asks for one, and gives tokens."""

    def do_GET(self) -> None:
        self.note()
        if self.path.startswith("/token"):
            self.send(b'{"token": "of elsewhere"}')
        elif self.headers.get("Authorization"):
            self.send(MANIFEST)
        else:
            self.send(b"", 401, WWW_Authenticate='Basic realm="elsewhere"')

    def do_POST(self) -> None:
        self.server.liar.told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.note()
        self.send(b"")


class Registry(Handler):
    """The registry that lies."""

    def do_GET(self) -> None:
        self.note()
        lie = self.path.split("/")[2]
        elsewhere = self.server.elsewhere
        self.known = bool(self.headers.get("Authorization"))
        realms = {
            "realm_elsewhere": f"http://{elsewhere.host}/token",
            "realm_user": f"http://{self.server.liar.host}@{elsewhere.host}/token",
            "realm_prefix": f"http://{self.server.liar.host}0/token",
        }
        if lie in realms and not self.known:
            self.send(b"", 401, WWW_Authenticate=f'Bearer realm="{realms[lie]}",service="x"')
        elif lie == "basic_elsewhere" and not self.known:
            self.send(b"", 401, WWW_Authenticate='Basic realm="x"')
        elif lie.endswith("elsewhere"):
            self.send(b"", 307, Location=f"http://{elsewhere.host}{self.path}")
        elif lie == "drips":
            self.drip()
        elif lie == "floods":
            self.flood()
        elif lie == "deep":
            self.send(b'{"tags":' * 100_000 + b"1" + b"}" * 100_000, Docker_Content_Digest=digest(b""))
        elif lie in ("pages", "tags") and "/manifests/" in self.path:
            # Absent, so that the list is read.
            self.send(b"", 404)
        elif "/tags/list" in self.path:
            following = {"Link": f'<{self.path}&last=x>; rel="next"'} if lie == "pages" else {}
            tags = [f"sha-{n:07x}" for n in range(1000)] if lie == "pages" else TAGS if lie == "tags" else TAGS[:1]
            self.send(json.dumps({"name": "x", "tags": tags}).encode(), **following)
        elif "/manifests/" in self.path:
            said = digest(b"of something else") if lie == "digest" else digest(MANIFEST)
            self.send(MANIFEST, Docker_Content_Digest=said, Content_Type=KIND)
        else:
            self.send(CONFIG + b" " if lie == "config" else CONFIG)

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        ends = time.monotonic() + LONG_S
        try:
            while time.monotonic() < ends:
                self.wfile.write(b" ")
                time.sleep(0.5)
        except OSError:
            pass
        self.close_connection = True

    def flood(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(600 * 2**20))
        self.end_headers()
        try:
            for _mebibyte in range(600):
                self.wfile.write(b" " * 2**20)
        except OSError:
            pass
        self.close_connection = True


def start() -> tuple[Liar, Liar]:
    """Both, the registry first. The other one's address begins with the registry's."""
    for port in range(4100, 6500):
        try:
            servers = [
                http.server.ThreadingHTTPServer(("127.0.0.1", number), handler)
                for number, handler in ((port, Registry), (port * 10, Elsewhere))
            ]
        except OSError:
            continue
        for server in servers:
            server.liar = Liar(server.server_address[1])
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        servers[0].elsewhere = servers[1].liar
        return servers[0].liar, servers[1].liar
    raise OSError("no two ports of which one begins with the other are free")


def basic(user: str, password: str) -> str:
    """A password as it is sent."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()
