from __future__ import annotations

import ssl
import subprocess
import time

import pytest
from ansible.module_utils.rollout.io import clock as clocks
from simulated_registry import Server


@pytest.fixture
def naps(clock, monkeypatch):
    """The machine's own clock, because servers are threads; a pause between two tries takes no time and puts it on. The pauses."""
    found = []
    monkeypatch.setattr(clocks, "monotonic", lambda: time.monotonic() + sum(found))
    monkeypatch.setattr(clocks, "sleep", found.append)
    return found


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def other():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def house(tmp_path):
    """A CA of the house: its PEM file, and contexts for servers with a certificate of it and for clients that trust it."""
    ca, key, cert = tmp_path / "ca.pem", tmp_path / "key.pem", tmp_path / "cert.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made = (
        [*new, "-subj", "/CN=house", "-keyout", tmp_path / "ca.key", "-out", ca],
        [*new, "-subj", "/CN=registry", "-CA", ca, "-CAkey", tmp_path / "ca.key", "-keyout", key, "-out", cert]
        + ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"],
    )
    for command in made:
        subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return ca, context, ssl.create_default_context(cafile=str(ca))
