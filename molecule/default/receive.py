"""Waits for one notification and keeps it: receive.py PORT FILE. Started on the controller by broken.yml."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        Path(sys.argv[2]).write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()


with HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    server.timeout = 240
    server.handle_request()
