"""`python -m ktrdr.healthcheck`: a container's health check. Standard library only: it runs often.

Asks 127.0.0.1 on `KTRDR_PORT` (8000) for `KTRDR_HEALTH_PATH` (/api/v1/health).
"""

from __future__ import annotations

import http.client
import os
import sys


def check(port: int, path: str, timeout: float = 3.0) -> tuple[bool, str]:
    """Whether `path` answers 200 within `timeout` seconds, and what it said or why it did not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from 127.0.0.1:{port}{path}: {error or type(error).__name__}"
    finally:
        connection.close()
    return answer.status == 200, f"{answer.status} {body}"


def main() -> int:
    """Print what the service said; the exit status is 0 where it is healthy, else 1."""
    port = os.environ.get("KTRDR_PORT") or "8000"
    if not port.isdigit():
        print(f"KTRDR_PORT is no port number: {port}")
        return 1
    healthy, said = check(int(port), os.environ.get("KTRDR_HEALTH_PATH") or "/api/v1/health")
    print(said)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
