"""The inventory of a project that is taken over."""

from __future__ import annotations

import pytest
import yaml
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.module_utils.rollout.controller import adopted_inventory as inventories
from ansible.module_utils.rollout.controller import inventory
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import given
from hypothesis import strategies as st
from running import COMPOSE, FOLDER, adopt, facts, files, more, service


def written(found, connections=None, project="shop"):
    stacks = inventories.stacks(project, found)
    return inventories.texts(project, stacks, connections or {}), stacks


def loaded(text, variables=None):
    """A file of variables as Ansible reads and renders it."""
    # As the plugin that reads group_vars does: what stands there is trusted, but for what says !unsafe.
    data = DataLoader().load(TrustedAsTemplate().tag(text.decode()))
    return Templar(loader=DataLoader(), variables={**(variables or {}), **data}).template(data)


def test_the_inventory():
    said = facts(
        service(ports=[(8080, 80)], mounts=[(f"{FOLDER}/site.conf", "/site.conf", True)]), service("db", image="postgres:17")
    )
    text = COMPOSE.replace(
        "    image: ghcr.io/shop/web:1.2\n", "    image: a:${VERSION}\n    volumes: ['./site.conf:/site.conf:ro']\n"
    )
    read = files(compose=text, env="VERSION=1.2\nDB_PASSWORD=canary\n") | more(**{"site.conf": "a"})
    made, _stacks = written(
        {"nas": adopt(said, read)}, {"nas": {"ansible_host": "10.0.0.1", "ansible_port": 2222, "ansible_password": "x"}}
    )
    assert (
        made["hosts.yml"][0].decode()
        == """\
---
# Written by playbooks/adopt.yml, from the inventory that it was given.
all:
  hosts:
    nas:
      ansible_host: "10.0.0.1"
      ansible_port: 2222
      # Not written: ansible_password. Put it into group_vars/all/vault.yml, or type --ask-pass.
  children:
    apps:
      hosts:
        nas:
"""
    )
    assert (
        made["group_vars/all/main.yml"][0].decode()
        == """\
---
# Written by playbooks/adopt.yml, from what runs. A line with `guessed` is a guess: read it, and correct it.
rollout_application: shop
rollout_waves: [apps]
rollout_stacks:
  shop:
    wave: apps
    compose: .files/shop/docker-compose.yml
    # The name of the Compose project that runs, so that its volumes and networks stay the same ones.
    project: shop
    # The first rollout records what runs, and restarts nothing that is as these files say.
    adopt: true
    # Data that is mounted by a relative path stays in this folder of the host.
    data: /srv/shop
    tag_variable: VERSION  # guessed: the only variable in the tags of its images
    services:
      db:
        keep: true  # guessed: a database or broker, by the name of its image
      web:
        health: ["tcp://127.0.0.1:8080"]  # guessed: the port that it publishes; it has no health check
    secrets:
      DB_PASSWORD: "{{ vault_DB_PASSWORD }}"
"""
    )
    assert made["group_vars/all/vault.yml"] == (
        b"# Secrets in plain. Encrypt them before anybody else sees them: ansible-vault encrypt group_vars/all/vault.yml\n"
        b"---\nvault_DB_PASSWORD: canary\n",
        0o600,
    )
    assert {path: mode for path, (_content, mode) in made.items()} == {
        "hosts.yml": 0o644,
        "group_vars/all/main.yml": 0o600,
        "group_vars/all/vault.yml": 0o600,
        ".files/shop/.env": 0o600,
        ".files/shop/docker-compose.yml": 0o644,
        ".files/shop/site.conf": 0o644,
    }


def test_it_passes_the_checks_of_an_inventory():
    said = facts(service(state="exited", restart="no"), service("api", ports=[(80, 80)]), service("db", image="postgres:17"))
    text = "services: {web: {image: a, profiles: [x]}, api: {image: 'b:$NOT'}, db: {image: c}}\n"
    made, stacks = written({"nas": adopt(said, files(compose=text)), "nuc": adopt(facts(env_files=[]), files(compose=text))})
    main = loaded(made["group_vars/all/main.yml"][0], loaded(made["group_vars/all/vault.yml"][0]))
    hosts = yaml.safe_load(made["hosts.yml"][0])["all"]
    groups = {"all": [*hosts["hosts"]], **{name: [*group["hosts"]] for name, group in hosts["children"].items()}}
    assert inventory.problems(main["rollout_stacks"], groups, main["rollout_waves"]) == []
    assert inventory.misplaced(main["rollout_application"], "/x") == []
    assert main["rollout_stacks"]["shop-nas"]["secrets"] == {"DB_PASSWORD": "canary-password"}
    assert [(stack.name, stack.group, stack.hosts) for stack in stacks] == [
        ("shop-nas", "apps_1", ("nas",)),
        ("shop-nuc", "apps_2", ("nuc",)),
    ]


def test_hosts_that_have_it_alike_share_a_stack():
    made, stacks = written(
        {"nas": adopt(), "nuc": adopt(host="nuc"), "pi": adopt(read=files(env="DB_PASSWORD=other\n"), host="pi")}
    )
    assert [(stack.name, stack.hosts) for stack in stacks] == [("shop-nas", ("nas", "nuc")), ("shop-pi", ("pi",))]
    secrets = loaded(made["group_vars/all/vault.yml"][0])
    assert secrets == {"vault_shop_nas_DB_PASSWORD": "canary-password", "vault_shop_pi_DB_PASSWORD": "other"}


@pytest.mark.parametrize(("hosts", "groups"), [(["apps"], ["apps_hosts"]), (["apps", "apps_hosts"], ["apps_of_shop"])])
def test_no_group_has_the_name_of_a_host(hosts, groups):
    assert [one.group for one in inventories.stacks("shop", {host: adopt() for host in hosts})] == groups


def test_two_names_that_are_one_word_have_two_variables():
    made, _stacks = written({"nas": adopt(read=files(env="A.TOKEN=one-canary\nA_TOKEN=two-canary\n"))})
    vault = loaded(made["group_vars/all/vault.yml"][0])
    main = loaded(made["group_vars/all/main.yml"][0], vault)
    assert main["rollout_stacks"]["shop"]["secrets"] == {"A.TOKEN": "one-canary", "A_TOKEN": "two-canary"}


def test_what_ought_to_be_encrypted():
    read = files(compose="services: {web: {image: a, env_file: app.env}}\n") | more(**{"app.env": "TOKEN=canary\n"})
    made, stacks = written({"nas": adopt(read=read)})
    assert inventories.encrypted(stacks) == ["group_vars/all/vault.yml", ".files/shop/app.env"]
    assert made[".files/shop/app.env"][1] == 0o600
    assert inventories.encrypted(written({"nas": adopt(read=files(env="A=1\n"))})[1]) == []


@pytest.mark.parametrize(("mode", "kept"), [("0644", 0o644), ("0600", 0o600), ("0755", 0o755), ("0700", 0o700), ("0666", 0o644)])
def test_modes_that_services_need_are_kept(mode, kept):
    read = files(compose="services: {web: {image: a, volumes: ['./x:/x:ro']}}\n") | more(x="1")
    read[f"{FOLDER}/x"]["mode"] = mode
    made, _stacks = written({"nas": adopt(facts(service(mounts=[(f"{FOLDER}/x", "/x", True)])), read)})
    assert made[".files/shop/x"][1] == kept


HOSTILE = [
    "{{ lookup('pipe', 'touch /tmp/h') }}",
    "{% raw %}",
    "a: b",
    "x\n  y: z",
    "'\"\\",
    "*a",
    "!vault |",
    "true",
    "~",
    "1e3",
    "a # b",
    "\u2028x\u0085",
    "\U0001f600{{ 1 }}",
    "\x07{{ 7 * 7 }}",
    "- a",
    "=",
    "<<",
    "2026-01-01",
    "0o17",
    "12:30:45",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_text_of_a_host_is_text(value):
    env = {"why": "absent"}
    said = facts(service(image="postgres:17"), folder=f"/srv/{value}", compose=[f"/srv/{value}/docker-compose.yml"], env_files=[])
    found = adopt(said, {f"/srv/{value}/docker-compose.yml": files()[f"{FOLDER}/docker-compose.yml"], f"/srv/{value}/.env": env})
    found.secrets, found.notes, found.profiles = {"TOKEN": value}, [value], [value]
    made, _stacks = written({"nas": found}, {"nas": {"ansible_user": value}})
    vault = loaded(made["group_vars/all/vault.yml"][0])
    main = loaded(made["group_vars/all/main.yml"][0], vault)
    stack = main["rollout_stacks"]["shop"]
    assert (stack["data"], stack["profiles"], stack["secrets"]) == (f"/srv/{value}", [value], {"TOKEN": value})
    assert set(stack) == {"wave", "compose", "project", "adopt", "data", "profiles", "allow_unset", "services", "secrets"} - (
        set() if "allow_unset" in stack else {"allow_unset"}
    )
    assert set(main) == {"rollout_application", "rollout_waves", "rollout_stacks"}
    hosts = loaded(made["hosts.yml"][0])
    assert hosts["all"]["hosts"] == {"nas": {"ansible_user": value}}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_is_read_back_as_it_is(value):
    text = inventories._text(value)
    assert len(text.splitlines()) <= 1 or "\n" not in text
    read = loaded(f"a: {text}\nb: 1\n".encode())
    assert read == {"a": value, "b": 1}
