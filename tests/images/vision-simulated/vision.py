"""The application vision of scenario gpu: it answers at /health, and does nothing else. Its argument is its name."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "healthy", "release": os.environ["VISION_RELEASE"]}).encode())


# As PID 1 it would not end by this signal.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ThreadingHTTPServer(("", 8000), Health).serve_forever()
