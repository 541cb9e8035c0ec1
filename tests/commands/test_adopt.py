"""Taking over what runs, through the real ansible-playbook: what runs is shown, and an inventory for it is written."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess

import fake_docker
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
LABEL = "com.docker.compose"
COMPOSE = """\
services:
  web:
    image: ghcr.io/shop/web:1.2
    environment: {API_TOKEN: "${API_TOKEN:?}"}
    volumes: ["./run.sh:/run.sh:ro", "./uploads:/uploads"]
"""


@pytest.fixture
def adopt(ansible, tmp_path):
    """Run playbooks/adopt.yml on a host with one project, whose folder that is; nothing may be changed at its engine."""

    def run(folder, *options, groups=(), **typed):
        labels = {
            f"{LABEL}.project": "shop",
            f"{LABEL}.service": "web",
            f"{LABEL}.project.working_dir": str(folder),
            f"{LABEL}.project.config_files": f"{folder}/docker-compose.yml",
        }
        container = {
            **{"Id": "c1", "Image": "sha256:1", "State": {"Status": "running", "Running": True}, "HostConfig": {}},
            "Config": {"Image": "ghcr.io/shop/web:1.2", "Labels": labels},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
            "Mounts": [
                {"Type": "bind", "Source": f"{folder}/{n}", "Destination": f"/{n}", "RW": n == "uploads"}
                for n in ("run.sh", "uploads")
            ],
        }
        (tmp_path / "container.json").write_text(json.dumps([container]))
        cases = (
            "'ps --format fields') printf 'shop\\tshop-web-1\\t\\tc1\\n';;\n"
            f"'container inspect'*) cat {tmp_path}/container.json;;\n'image inspect'*) echo '[]';;\n"
            f'*) echo "$*" >> {tmp_path}/touched; exit 64;;'
        )
        fake_docker.install(tmp_path, fake_docker.ENGINE + cases)
        done = ansible("playbooks/adopt.yml", *options, groups=groups, facts={}, **typed)
        assert "Traceback" not in done.stdout + done.stderr
        assert not (tmp_path / "touched").exists()
        return done

    return run


@pytest.fixture
def shop(tmp_path):
    """Makes the folder of a project."""

    def make(name="shop", env="API_TOKEN=canary-token\n"):
        folder = tmp_path / name
        (folder / "uploads").mkdir(parents=True)
        (folder / "docker-compose.yml").write_text(COMPOSE)
        (folder / ".env").write_text(env)
        (folder / "run.sh").write_text(f"#!/bin/sh\n# {{{{ lookup('pipe', 'touch {tmp_path}/ran') }}}}\ntouch {tmp_path}/ran\n")
        (folder / "run.sh").chmod(0o755)
        return folder

    return make


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_shows_what_runs_and_writes_nothing(adopt, shop, tmp_path):
    folder = shop()
    before = tree(folder)
    done = adopt(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  shop: 1 of 1 service running, in" in done.stdout
    assert "ports    127.0.0.1:8080->80/tcp" in done.stdout
    assert done.stdout.rstrip().endswith("hosts.json -e project=shop")
    assert "canary" not in done.stdout + done.stderr
    assert tree(folder) == before


@pytest.mark.parametrize("options", [(), ("-vvv",)])
def test_it_writes_an_inventory(adopt, shop, tmp_path, root, options):
    folder = shop()
    before = tree(folder)
    done = adopt(folder, *options, project="shop", into=str(tmp_path / "inv"))
    assert done.returncode == 0, done.stdout + done.stderr
    # -vvv shows what modules are given and what they answer.
    assert "canary" not in done.stdout + done.stderr
    assert tree(folder) == before
    made = tree(tmp_path / "inv/shop")
    assert {*made} == {
        "hosts.yml",
        "group_vars/all/main.yml",
        "group_vars/all/vault.yml",
        ".files/shop/.env",
        ".files/shop/docker-compose.yml",
        ".files/shop/run.sh",
    }
    assert made[".files/shop/run.sh"] == before["run.sh"]
    assert os.access(tmp_path / "inv/shop/.files/shop/run.sh", os.X_OK)
    assert b"canary" not in made[".files/shop/.env"]
    for line in (f"-i {tmp_path}/inv/shop --check --diff", f"ansible-vault encrypt {tmp_path}/inv/shop/group_vars/all/vault.yml"):
        assert line in done.stdout
    # Once more.
    again = adopt(folder, project="shop", into=str(tmp_path / "inv"))
    assert again.returncode != 0
    assert "is there already, and nothing was written: somebody may have worked on it." in again.stdout
    assert tree(tmp_path / "inv/shop") == made
    assert adopt(folder, project="shop", into=str(tmp_path / "inv"), overwrite="true").returncode == 0


def test_what_a_host_hands_over_is_only_text(adopt, shop, tmp_path, root):
    evil = f"{{{{ lookup('pipe', 'touch {tmp_path.name}-ran') }}}}"
    folder = shop("{{ 7 * 7 }} {% raw %}", env=f'API_TOKEN="{evil}"\nLOG={evil}\n')
    assert adopt(folder, project="shop", into=str(tmp_path / "inv")).returncode == 0
    # Whatever reads the inventory.
    ask = ["all", "--module-name", "ansible.builtin.debug", "--args", "msg={{ rollout_stacks | to_json | b64encode }}"]
    done = subprocess.run(
        ["ansible", "--inventory", str(tmp_path / "inv/shop"), *ask],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
    )
    # A template of the task that reads it, and nothing else, was rendered.
    stack = json.loads(base64.b64decode(re.search(r"[A-Za-z0-9+/]{80,}=*", done.stdout)[0]))["shop"]
    assert (stack["data"], stack["secrets"]) == (str(folder), {"API_TOKEN": evil})
    assert not list(root.glob("*-ran"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"project": "shpo"}, "No host that could be looked at has a Compose project shpo. Those that there are: shop."),
        ({"projekt": "shop"}, "projekt is not known: is it project that you mean?"),
        ({"project": ""}, "project is given and empty"),
    ],
)
def test_what_cannot_be_meant(adopt, shop, tmp_path, typed, sentence):
    done = adopt(shop(), into=str(tmp_path / "inv"), **typed)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert not (tmp_path / "inv").exists()
