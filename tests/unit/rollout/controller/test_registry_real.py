"""The client against distribution's own registry (2.8 in Debian), with plain http, TLS and a password."""

from __future__ import annotations

import base64
import http.client
import re
import shutil
import subprocess

import pytest
from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.errors import RolloutError
from simulated_registry import INDEX, MANIFEST, REVISION, digest, encoded

pytestmark = pytest.mark.usefixtures("real_clock")
COMMIT = REVISION[:12]


@pytest.fixture
def start_registry(root, tmp_path):
    """Start one with these settings; where it listens."""
    running = []
    program = shutil.which("docker-registry", path=f"{root}/.cache/registry/usr/bin:/usr/bin")
    if not program:
        pytest.skip("scripts/test-packages.sh found no package docker-registry")

    def begin(more="", tls=""):
        (tmp_path / "registry.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: 127.0.0.1:0{tls}}}\n{more}"
        )
        process = subprocess.Popen(
            [program, "serve", str(tmp_path / "registry.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        said = ""
        while line := process.stderr.readline():
            said += line
            if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                return found[1]
        raise AssertionError(said)

    yield begin
    for process in running:
        process.kill()
        process.communicate()


class Pusher:
    """Puts images into a registry."""

    def __init__(self, host, login="", tls=None):
        self.connection = http.client.HTTPSConnection(host, context=tls) if tls else http.client.HTTPConnection(host)
        self.login = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}

    def send(self, method, path, body=b"", kind="application/octet-stream"):
        self.connection.request(method, path, body, {"Content-Type": kind, "Content-Length": str(len(body)), **self.login})
        answer = self.connection.getresponse()
        said = answer.read()
        assert answer.status < 300, said
        return answer.headers

    def blob(self, content):
        where = self.send("POST", "/v2/k/app/blobs/uploads/")["Location"]
        path = re.sub(r"https?://[^/]+", "", where)
        self.send("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest(content)}", encoded(content))
        return {"digest": digest(content), "size": len(encoded(content))}

    def manifest(self, name, document):
        self.send("PUT", f"/v2/k/app/manifests/{name}", encoded(document), document["mediaType"])
        return {"mediaType": document["mediaType"], "digest": digest(document), "size": len(encoded(document))}

    def image(self, name="", architecture="amd64"):
        layer = self.blob(f"layer of {architecture}")
        config = self.blob(
            {
                "os": "linux",
                "architecture": architecture,
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
                "config": {"Labels": {"org.opencontainers.image.revision": REVISION}},
            }
        )
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
        config["mediaType"] = "application/vnd.oci.image.config.v1+json"
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        return self.manifest(name or digest(document), document)


def refused(registry, tag):
    with pytest.raises(RolloutError) as error:
        registry.resolve("k/app", tag)
    return str(error.value)


def test_images_tags_and_what_is_gone(start_registry):
    host = start_registry()
    pusher, registry = Pusher(host), Registry(host)
    assert refused(registry, "v1").startswith(f"Registry {host} has no image k/app (asked for ")
    one, other = pusher.image(f"sha-{COMMIT}-amd64"), pusher.image(f"sha-{COMMIT}-arm64", "arm64")
    entries = [
        {**one, "platform": {"os": "linux", "architecture": "amd64"}},
        {**other, "platform": {"os": "linux", "architecture": "arm64"}},
    ]
    top = pusher.manifest(f"sha-{COMMIT}", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})

    found = registry.resolve("k/app", "sha-abc1234", ["linux/amd64"])
    assert (found["tag"], found["digest"], found["revision"]) == (f"sha-{COMMIT}", top["digest"], REVISION)
    layer = digest("layer of amd64")
    assert found["platforms"] == {
        "linux/amd64": [{"diff_id": layer, "digest": layer, "size": len("layer of amd64")}],
        "linux/arm64": [],
    }
    assert f"has no tag v1 of image k/app. Tags there that are nearest: sha-{COMMIT}, " in refused(registry, "v1")

    pusher.send("DELETE", f"/v2/k/app/manifests/{one['digest']}")
    assert f"not all of it: {one['digest']} is gone (a clean-up?)" in refused(registry, f"sha-{COMMIT}")


def test_a_password(start_registry, tmp_path):
    # u:p
    (tmp_path / "htpasswd").write_text("u:$2b$04$xGTnyqJpCgjefSTSVxW2NeZmqEf4D8pZNJHZDjTlGWWevzveJ6Nea\n")
    host = start_registry(f"auth: {{htpasswd: {{realm: r, path: {tmp_path}/htpasswd}}}}\n")
    Pusher(host, "u:p").image("v1")
    assert Registry(host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert "refuses access to image k/app as user u (HTTP 401)" in refused(Registry(host, "u", "wrong"), "v1")
    assert "refuses access to image k/app without a user (HTTP 401)" in refused(Registry(host), "v1")


def test_tls(start_registry, house, tmp_path):
    host = start_registry(tls=f", tls: {{certificate: {tmp_path}/cert.pem, key: {tmp_path}/key.pem}}")
    authority, client = house[0], house[2]
    Pusher(host, tls=client).image("v1")
    for registry in (Registry(host), Registry(host, authority=str(authority)), Registry(host, insecure=True)):
        assert registry.resolve("k/app", "v1")["revision"] == REVISION
