"""A registry that is simulated: a server on loopback that speaks as much of the distribution API as is asked."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "abc1234def5678abc1234def5678abc1234def56"
INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
D1, D2, D3 = ("sha256:" + letter * 64 for letter in "123")


def encoded(document):
    return document if isinstance(document, bytes) else (document if isinstance(document, str) else json.dumps(document)).encode()


def digest(document):
    return "sha256:" + hashlib.sha256(encoded(document)).hexdigest()


class Server:
    """``answers``: path -> (status, headers, body), or a function of the request."""

    def __init__(self, tls=None):
        self.answers, self.seen, self.hold = {}, [], threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.path, self.headers.get("Authorization")))
                answer = outer.answers.get(self.path, outer.answers.get(self.path.partition("?")[0], (404, {}, "{}")))
                status, headers, body = answer(self) if callable(answer) else answer
                data = encoded(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def do_HEAD(self):
                self.do_GET()

            def log_message(self, *arguments):
                pass

        self.handler = Handler
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            # The handshake is the thread's of the request: a client that breaks it off does not hold the others up.
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_arguments: None  # a client that gave up
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def image(self, name="", architecture="amd64", revision=REVISION, layers=((D1, 100), (D2, 20)), configuration=None):
        """A plain manifest and its configuration, at a tag or at its digest; the digest."""
        config = configuration or {
            "os": "linux",
            "architecture": architecture,
            "rootfs": {"diff_ids": [d for d, _size in layers]},
            "config": {"Labels": {"org.opencontainers.image.revision": revision} if revision else None},
        }
        manifest = {
            "mediaType": MANIFEST,
            "config": {"digest": digest(config)},
            "layers": [{"size": s} for _d, s in layers],
        }
        self.blob = f"/v2/k/app/blobs/{digest(config)}"
        self.answers[self.blob] = (200, {}, config)
        return self.manifest(name or digest(manifest), manifest)

    def manifest(self, name, document):
        self.answers[f"/v2/k/app/manifests/{name}"] = (200, {"Docker-Content-Digest": digest(document)}, document)
        return digest(document)

    def index(self, name, *entries):
        """An index of (digest, os, architecture), or of whole entries."""
        listed = [
            one if isinstance(one, dict) else {"digest": one[0], "platform": {"os": one[1], "architecture": one[2]}}
            for one in entries
        ]
        return self.manifest(name, {"mediaType": INDEX, "manifests": listed})

    def close(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
