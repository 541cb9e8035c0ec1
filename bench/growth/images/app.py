"""The whole application: it answers every request with its release. As small as Python allows, because many of it run here."""

import contextlib
import os
import signal
import socket

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
BODY = b'{"status": "healthy", "release": "%s"}' % os.environb[b"GROWTH_RELEASE"]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
with socket.create_server(("", 8000)) as server:
    while True:
        client = server.accept()[0]
        with client, contextlib.suppress(OSError):
            client.settimeout(2)
            client.recv(65536)
            client.sendall(ANSWER % (len(BODY), BODY))
