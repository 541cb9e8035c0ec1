from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fake_docker
import pytest
from story import Host, stack


@pytest.fixture
def ansible(root, tmp_path):
    """Run a playbook of the root on this machine, with an engine on which nothing runs. Whatever else is asked of it is noted."""
    (tmp_path / "x.j2").write_text("services: {web: {image: '{{ rollout_registry }}/a:${IMAGE_TAG}'}}\n")
    # As Compose reads that, with the tag that is asked for.
    read = (
        """place=$(echo "$*" | sed 's/.*--project-directory \\([^ ]*\\).*/\\1/'); """
        """tag=$(sed -n 's/^IMAGE_TAG="\\(.*\\)"$/\\1/p' "$place/.env"); """
        """image=$(sed -n "s/.*image: '\\(.*\\):.*/\\1/p" "$place"/docker-compose.core.yml); """
        """echo "{\\"services\\": {\\"web\\": {\\"image\\": \\"$image:$tag\\"}}}";"""
    )
    nothing = f"ps*) ;;\n'image inspect'*) echo 'No such image' >&2; exit 1;;\n*' config '*) {read};\n"
    _engine(tmp_path, nothing)
    inventory = tmp_path / "hosts.json"

    def begin(playbook, *options, groups=("backend",), facts=None, hosts=None, typed=None, env=None, cwd=root, **variables):
        """``facts`` are the inventory's, ``hosts`` each one's own, ``variables`` those of -e.

        ``typed`` makes the command of playbook, inventory and options, where somebody types another one than ansible-playbook.
        """
        local = {"ansible_connection": "local", "ansible_python_interpreter": shutil.which("python3")}
        known = {
            "rollout_application": "app",
            "rollout_registry": "localhost:1",
            "rollout_dir": str(tmp_path / "state"),
            "rollout_stacks": {"core": {"wave": "backend", "template": str(tmp_path / "x.j2")}},
            **(facts or {}),
        }
        own = {name: {**local, **mine} for name, mine in (hosts or {"localhost": {}}).items()}
        children = {group: {"hosts": {name: {} for name in own}} for group in groups}
        inventory.write_text(json.dumps({"all": {"hosts": own, "children": children, "vars": known}}))
        options = ["--extra-vars", json.dumps(variables), *options]
        command = typed or (lambda playbook, inventory, options: ["ansible-playbook", "-i", inventory, playbook, *options])
        return subprocess.Popen(
            command(playbook, str(inventory), options),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ROLLOUT_REPORTS": str(tmp_path / "reports"),
                "LC_ALL": "C.UTF-8",
                **(env or {}),
            },
        )

    def run(*typed, **given):
        process = begin(*typed, **given)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    run.begin = begin
    return run


@pytest.fixture
def released(ansible, tmp_path):
    """A stable release of one service on this machine, and the engine on which that runs."""
    host = Host(tmp_path / "state")
    host.rollout("a", text=stack("sha-aaaaaaa", ("web",), database=False))
    found = {
        "config": host.deployment("sha-aaaaaaa").compose_project.config(),
        "containers": host.engine.made,
        "images": [{"Id": one["Image"], "RepoDigests": [], "RootFS": {}} for one in host.engine.made],
    }
    for name, content in found.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (container,) = host.engine.made
    _engine(
        tmp_path,
        f"ps*) echo {container['Id']};;\n'container inspect'*) cat {tmp_path}/containers.json;;\n"
        f"'image inspect'*) cat {tmp_path}/images.json;;\n*' config '*) cat {tmp_path}/config.json;;\n",
    )


def _engine(tmp_path, cases):
    """An engine, at which nothing may be changed: what else is asked of it is noted."""
    fake_docker.install(tmp_path, fake_docker.ENGINE + cases + f'*) echo "$*" >> {tmp_path}/touched; exit 64;;')


@pytest.fixture
def registry():
    """A registry that has every image at every tag; its name."""
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "config": {}}
    blob = json.dumps(config).encode()
    manifest = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": _digest(blob)},
        "layers": [],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            # No list of tags: then a tag is the one that was asked for.
            content = {"manifests": json.dumps(manifest).encode(), "blobs": blob}.get(self.path.split("/")[-2], b"{}")
            self.send_response(404 if content == b"{}" and self.path != "/v2/" else 200)
            self.send_header("Docker-Content-Digest", _digest(content))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()
