"""Compose files and inventories that are wrong, through the real ansible-playbook: each is refused, and named with its line."""

from __future__ import annotations

import json
import shutil

import fake_docker
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
UNTOUCHED = "ROLLOUT REFUSED: nothing was touched, what ran before still runs."


@pytest.fixture
def staged(ansible, registry, tmp_path):
    """What a rollout says of a stack whose template has this text."""

    def of(text, **typed):
        (tmp_path / "core.yml.j2").write_text(text)
        stack = {"wave": "backend", "template": str(tmp_path / "core.yml.j2")}
        facts = {"rollout_registry": registry, "rollout_stacks": {"core": stack}, "workers": 1}
        done = ansible("rollout.yml", facts=facts, sha="abc1234", **typed)
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert "Traceback" not in said
        return " ".join(said.split())

    return of


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{% for n in range(workers) %}{% endfor %}",
            "cannot be rendered: a text cannot be interpreted as an integer. A number is needed where it has workers: workers is "
            "a text.",
        ),
        ("a: {{ nowhere }}", "cannot be rendered: 'nowhere' is undefined. Define it in the inventory or with -e,"),
        ("a:\n  - {% if %}", "core.yml.j2, line 2, cannot be rendered: Syntax error in template: "),
    ],
)
def test_a_template_that_cannot_be_rendered(staged, tmp_path, text, sentence):
    said = staged(text, workers="3")
    assert f"{UNTOUCHED} On host localhost: {tmp_path}/core.yml.j2" in said
    assert sentence in said


WAYS = {
    "quiet": ([], {}),
    "default": (["-vvv"], {"ANSIBLE_STDOUT_CALLBACK": "default"}),
    "verbose": (["-vvv"], {}),
    "differences": (["--check", "--diff", "-vvv"], {}),
}
CANARIES = ("canary-env", "canary-token", "canary-file", "canary-vault", "canary-login")


@pytest.fixture
def source(tmp_path, registry):
    """A stack as anybody has it, whose variables, environment file and mounted secret are secrets, and an engine that prints them."""
    (tmp_path / "app").mkdir()
    for name, text in {
        "docker-compose.yml": f"services: {{web: {{image: '{registry}/a:${{IMAGE_TAG}}', env_file: web.env}}}}\n"
        "secrets: {key: {file: ./key.txt}}\n",
        ".env": "DB_PASSWORD=canary-env\nPLAIN=shown\n",
        "web.env": "API_TOKEN=canary-token\n",
        "key.txt": "canary-file\n",
    }.items():
        (tmp_path / "app" / name).write_text(text)
    said = " ".join(CANARIES)
    config = {
        "name": "app-core",
        "services": {
            "web": {
                "image": f"{registry}/a:TAG",
                "environment": {"PASSWORD": "canary-env canary-vault", "API_TOKEN": "canary-token"},
                "secrets": [{"source": "key"}],
                "volumes": [],
            }
        },
        "secrets": {"key": {"name": "app-core_key", "file": "PLACE/key.txt"}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    read = (
        """place=$(echo "$*" | sed 's/.*--project-directory \\([^ ]*\\).*/\\1/'); """
        """tag=$(sed -n 's/^IMAGE_TAG="\\{0,1\\}\\([^"]*\\)"\\{0,1\\}$/\\1/p' "$place/.env"); """
        f"""cat "$place/.env" "$place/web.env" >> {tmp_path}/read; sed "s|PLACE|$place|; s|:TAG|:$tag|" {tmp_path}/config.json; """
        f"""echo 'time="x" level=warning msg="{said}"' >&2"""
    )
    cases = f"ps*) ;;\n*' config '*) {read};;\n'image inspect'*) echo 'no such image' >&2; exit 1;;\n"
    fake_docker.install(tmp_path, fake_docker.ENGINE + cases + f"*) echo 'no room for {said}' >&2; exit 1;;")
    stack = {
        **{"wave": "backend", "compose": str(tmp_path / "app/docker-compose.yml")},
        "secrets": {"PW": "canary-vault"},
    }
    return {
        "rollout_registries": {registry: {"username": "ada", "password": "canary-login"}},
        "rollout_stacks": {"core": stack},
    }


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_of_an_env_file_is_printed(ansible, source, tmp_path, way):
    options, env = WAYS[way]
    done = ansible("rollout.yml", *options, facts=source, env=env, sha="abc1234")
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert UNTOUCHED in " ".join(said.split())
    # Otherwise this proves nothing: they were read, staged, and printed by the engine.
    read = (tmp_path / "read").read_text()
    assert "canary-env" in read
    assert "canary-token" in read
    assert {line for line in read.splitlines() if line.startswith("IMAGE_TAG=")} == {
        f'IMAGE_TAG="{tag}"' for tag in ("rollout-00-the-tag-of-the-release", "sha-abc1234")
    }
    assert "no room for" in said, said
    left = [*(tmp_path / "reports").rglob("*.*"), *(tmp_path / "state").glob("*.json*")]
    for text in [said, *(file.read_text() for file in left if file.is_file())]:
        assert [canary for canary in CANARIES if canary in text] == []


@pytest.fixture
def inventory(tmp_path):
    """An inventory of which one file is broken."""
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    (tmp_path / "inventory/hosts.yml").write_text("backend:\n  hosts:\n    localhost:\n      ansible_connection: local\n")

    def spoil(file):
        broken = tmp_path / "inventory" / file
        broken.write_text("a:\n  b: 1\n c: 2\n")
        return f"{broken}, line 3: YAML parsing failed: While parsing a block mapping did not find expected key."

    return spoil


@pytest.mark.parametrize("file", ["group_vars/all.yml", "hosts.yml"])
@pytest.mark.parametrize("playbook", ["rollout.yml", "rollback.yml", "status.yml"])
def test_an_inventory_that_is_no_yaml(ansible, inventory, tmp_path, file, playbook):
    said_of_it = inventory(file)

    def typed(playbook, _inventory, options):
        return ["ansible-playbook", "-i", str(tmp_path / "inventory"), playbook, *options]

    done = ansible(playbook, typed=typed)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "INTERRUPTED" not in said
    assert said_of_it in said
    if playbook != "status.yml":
        assert said.startswith(f"{playbook.removesuffix('.yml').upper()} REFUSED: nothing was touched")
