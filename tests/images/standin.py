"""Stands in for any application: answers 200 on many ports, whatever its arguments. It ends at SIGTERM."""

import http.server
import json
import os
import signal
import sys
import threading

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "ok", "of": os.environ.get("STANDIN", "")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


print("standing in", *sys.argv[1:], flush=True)
for port in os.environ["STANDIN_PORTS"].split():
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Event().wait()
