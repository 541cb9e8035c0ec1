"""The screens of playbooks/adopt.yml."""

from __future__ import annotations

import textwrap

import pytest
from ansible.module_utils.rollout.controller import adopted_inventory
from ansible.module_utils.rollout.controller.screens import adoption, projects
from running import FOLDER, adopt, facts, files, more, service

VOLUME = {"kind": "volume", "source": "shop_db", "target": "/var/lib/postgresql/data", "read_only": False}
NAMELESS = {**VOLUME, "source": "a" * 64, "target": "/cache"}


def found(*several):
    return {"projects": [{"profiles": [], **one} for one in several], "files": {}}


def test_a_host():
    web = service(
        **{"check": "curl -f http://localhost/", "health": "healthy", "replicas": 2, "ports": [(8080, 80)]},
        mounts=[(f"{FOLDER}/site.conf", "/etc/site.conf", True), ("/mnt/photos", "/photos", False)],
    )
    db = service("db", image="postgres:17@sha256:" + "c" * 64, digest="", mounts=[VOLUME, NAMELESS], state="exited", code=1)
    answers = {"nas": found({**facts(web, db), "profiles": ["ml"]}, facts(name="ours", ours=True)), "nuc": found()}
    assert projects.screen(answers, {"pi": "it cannot be reached"}, ()) == textwrap.dedent("""\
        nas
          shop: 1 of 2 services running, in /srv/shop
            files        docker-compose.yml, .env
            profiles     ml
            web          running x2, healthy; ghcr.io/shop/web:1.2 (aaaaaaaaaaaa)
                         ports    8080->80/tcp
                         mounts   ./site.conf -> /etc/site.conf (read-only)
                                  /mnt/photos -> /photos
                         check    curl ...
            db           exited (1); postgres:17 (no digest, id bbbbbbbbbbbb)
                         volumes  shop_db -> /var/lib/postgresql/data
                                  aaaaaaaaaaaa (no name) -> /cache
          ours: 2 of 2 services running, in /srv/shop
            rolled out by this tool

        nuc
          no Compose project

        pi
          could not be looked at: it cannot be reached""")


@pytest.mark.parametrize(
    ("command", "shown"),
    [("redis-cli -a s3cret ping", "redis-cli ..."), ("/healthy", "/healthy"), ("PGPASSWORD=s3cret psql", "a command")],
)
def test_a_password_of_a_health_check_is_not_shown(command, shown):
    text = projects.screen({"nas": found(facts(service(check=command)))}, {}, ())
    assert text.endswith(f"check    {shown}")
    assert "s3cret" not in text


def test_only_what_was_asked_for_is_shown():
    text = projects.screen({"nas": found(facts(), facts(name="other")), "nuc": found(facts(name="other"))}, {}, ["shop"])
    assert "other" not in text
    assert text.endswith("nuc\n  none of these Compose projects")


@pytest.mark.parametrize("length", [30, 79, 200])
def test_no_line_is_wider_than_80_columns(length):
    one = service("s" * min(length, 60), image="i" * length, check="c " * length, mounts=[(f"/{'m' * length}", "/x", True)])
    answers = {"nas": found(facts(one, folder=f"/{'f' * length}", notes=["n" * length]))}
    assert max(map(len, projects.screen(answers, {"pi": "p" * length}, ()).split("\n"))) <= 80


def test_no_line_is_forged():
    hostile = "x\nnas\n  forged: 1 of 1\x1b[2J\u202e"
    one = service(image=hostile, check=hostile, health=hostile, mounts=[(hostile, hostile, True)])
    text = projects.screen({"nas": found(facts(one, folder=hostile, notes=[hostile], compose=[hostile]))}, {"pi": hostile}, ())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.split("\n").count("nas") == 1
    assert not any(line.startswith("  forged") for line in text.split("\n"))


def test_the_command_for_the_next_step():
    assert adoption.further({"nas": found(facts(name="ours", ours=True), facts())}, ["my hosts.yml"]) == (
        "To take one over (nothing on a host is touched):\n"
        "    ansible-playbook playbooks/adopt.yml -i 'my hosts.yml' -e project=shop"
    )
    assert adoption.further({"nas": found()}, ["a"]) == ""


def said(adopted, secret=(), closed=False, before="", hosts=("nas",)):
    stacks = adopted_inventory.stacks("shop", {host: adopted for host in hosts})
    return adoption.written("inventory/shop", stacks, adopted_inventory.texts("shop", stacks, {}), secret, closed, before)


def test_what_was_written():
    adopted = adopt(facts(service(ports=[(8080, 80)], state="paused"), env_files=[]), files(env=None))
    assert said(adopted, ["group_vars/all/vault.yml"], hosts=("nas", "nuc")) == textwrap.dedent("""\
        inventory/shop was written. Nothing was touched on nas, nuc.

            hosts.yml
            group_vars/all/main.yml
            .files/shop/docker-compose.yml

        Guessed; read them in group_vars/all/main.yml:
          - shop.web.health: tcp://127.0.0.1:8080 (the port that it publishes; it has no
            health check)

        Worth knowing:
          - Service web does not run (paused); a rollout starts it.
          - Service db has no container; a rollout starts it.

        Secrets are in plain in files that only you can read. Encrypt them first:
            ansible-vault encrypt inventory/shop/group_vars/all/vault.yml

        Next, what a rollout would do, and then the rollout, which records what runs:
            ansible-playbook rollout.yml -i inventory/shop --check --diff
            ansible-playbook rollout.yml -i inventory/shop""")


def test_a_release_that_has_a_name_is_asked_for_by_it():
    text = said(adopt(facts(service()), files(compose="services: {web: {image: 'a:${V}'}}\n", env="V=v1.2\n")))
    assert text.endswith("ansible-playbook rollout.yml -i inventory/shop -e tag=v1.2")
    assert "  - shop.tag_variable: V\n" in text


def test_what_is_encrypted_already():
    text = said(adopt(), ["group_vars/all/vault.yml"], closed=True, before="inventory/.shop.before-x")
    assert "Encrypted: group_vars/all/vault.yml. Give the next commands the same vault password." in text
    assert "The folder that was there is now inventory/.shop.before-x." in text
    assert "ansible-vault" not in text


def test_no_secret_is_shown():
    read = files(compose="services: {web: {image: a, env_file: app.env}}\n") | more(**{"app.env": "TOKEN=canary-token\n"})
    text = said(adopt(read=read))
    assert "canary" not in text


def test_many_files_are_counted():
    one = adopt()
    one.files.update({f"conf/{n}": (b"", 0o644) for n in range(40)})
    assert "    .files/, with the project's own 42 files" in said(one)


def test_what_was_refused_and_what_is_unknown():
    assert adoption.refused("shop", "Why.") == "shop: no inventory was written. Why."
    assert adoption.incomplete({"pi": ""}) == "It is not known whether the project also runs on pi."
    assert str(adoption.NO_PROJECT(name="x", known=adoption.names({"nas": found(facts()), "b": found()}))) == (
        "No host that could be looked at has a Compose project x. Those that there are: shop."
    )
    assert adoption.names({}) == "none"


def test_different_versions_are_said():
    text = "services: {web: {image: 'a:${V}'}}\n"
    adopted = {
        host: adopt(facts(service()), files(compose=text, env=f"V={tag}\n")) for host, tag in (("nas", "v1"), ("nuc", "v2"))
    }
    stacks = adopted_inventory.stacks("shop", adopted)
    shown = adoption.written("inventory/shop", stacks, {}, [], False, "")
    assert "Hosts run different versions (shop-nas: v1, shop-nuc: v2), and a rollout brings one to all." in " ".join(
        shown.split()
    )
