"""The application of scenario hostile: well, or as its release is told. It prints what it should not, and its health never ends
or is elsewhere."""

import base64
import http.server
import json
import os
import shlex
import time
import urllib.parse

TRAIT = os.environ.get("TRAIT", "")
ESCAPES = "\x1b]0;TITLE\x07\x1b]52;c;Y3VybCBldmlsfHNo\x07\x1b[2J\x1b[8mhidden\x9b31mred\x1b[0m <script>alert(1)</script>"


def forms(secret: str) -> "dict[str, str]":
    """How programs print a secret."""
    return {
        "raw": secret,
        "url": "postgresql://app:" + urllib.parse.quote(secret, safe="") + "@db/x",
        "form": urllib.parse.urlencode({"p": secret}),
        "json": json.dumps({"p": secret}),
        "json, as it is": json.dumps({"p": secret}, ensure_ascii=False),
        "json in json": json.dumps(json.dumps({"p": secret})),
        "python": repr(secret),
        "shell": shlex.quote(secret),
        "basic": base64.b64encode(("app:" + secret).encode()).decode(),
        "base64": base64.b64encode(secret.encode()).decode(),
    }


def talk() -> None:
    """Print escape sequences, then each secret in each form: the last fifteen lines of a log are what is shown."""
    print(ESCAPES, flush=True)
    secrets = [os.environ.get(name, "") for name in ("KEY", "TOKEN", "PASSWORD")]
    words = [f"{form}: {text}" for secret in secrets for form, text in forms(secret).items()]
    print(" ".join(word for word in words if "\n" not in word), ESCAPES, flush=True)
    print(secrets[0].rstrip(), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the release is told."""

    def log_message(self, *_arguments: object) -> None:
        """The log has other things to hold."""

    def do_GET(self) -> None:
        """Its health."""
        if TRAIT == "drips":
            self.send_response(200)
            self.send_header("Content-Length", "60000")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.5)
            except OSError:
                return
        if TRAIT == "redirects" and self.path.startswith("/health"):
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere")
            self.end_headers()
            return
        reason = {"reason": ESCAPES + "{{ lookup('pipe', 'id') }}" + os.environ.get("PASSWORD", "")} if TRAIT == "talks" else {}
        body = json.dumps({"status": "ok", **reason}).encode()
        self.send_response(503 if TRAIT == "talks" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if TRAIT == "talks":
    talk()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
