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

STACK = {"wave": "backend", "template": "x.j2", "images": ["a"]}


@pytest.fixture
def ansible(root, tmp_path):
    """Run a playbook of the root on this machine, with an engine on which nothing runs. Whatever else is asked of it is noted."""
    rest = f'ps*) ;;\n*) echo "$*" >> {tmp_path}/touched; exit 64;;'
    fake_docker.install(tmp_path, fake_docker.ENGINE + rest)
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
            "rollout_stacks": {"core": STACK},
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
