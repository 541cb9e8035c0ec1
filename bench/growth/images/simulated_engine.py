"""The Docker socket of a simulated host. All of them share one engine, and a rollout refuses one machine under two names: so the
engine that answers here tells an ID of this host's own, as long as the real one, since the length of an answer comes before it.
Nothing else is changed.

`python3 simulated_engine.py REAL OWN NAME`: the engine's socket, the one to make, and what the ID is made of.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from contextlib import suppress


def real_id(path: str) -> bytes:
    """The ID of the engine behind a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
        engine.connect(path)
        engine.sendall(b"GET /info HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: engine.recv(65536), b""))
    found = re.search(rb'{"ID":"([^"]+)"', said)
    if not found:
        raise SystemExit(f"The engine at {path} tells no ID: {said[:200]!r}")
    return found[1]


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, real: bytes = b"", own: bytes = b"") -> None:
    """Everything that comes, until it ends; the other direction may go on."""
    with suppress(OSError):
        while data := await reader.read(65536):
            # The ID begins an answer's body, which the engine writes in one piece.
            writer.write(data.replace(b'{"ID":"' + real + b'"', b'{"ID":"' + own + b'"', 1) if real else data)
            await writer.drain()
        writer.write_eof()


async def serve(real_path: str, own_path: str, name: str) -> None:
    """Take connections for as long as the host is there."""
    real = real_id(real_path)
    own = f"simulated-engine-of-{name}".encode().ljust(len(real), b"-")[: len(real)]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(real_path)
        await asyncio.gather(pass_on(reader, engine_writer), pass_on(engine_reader, writer, real, own))
        engine_writer.close()
        writer.close()

    async with await asyncio.start_unix_server(connected, own_path) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:4]))
