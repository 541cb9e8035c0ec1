"""The actions of playbooks/adopt.yml: one asks hosts until it has every file, one shows and writes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible import context
from ansible.module_utils.rollout.controller import adoption
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from running import FOLDER, facts, files, more, service

TASK_VARS = {"inventory_hostname": "nas"}
INCLUDING = "include: [one.yml]\nservices: {web: {image: a}}\n"


@pytest.fixture
def ask(load):
    """Run the action compose_project_info on a host that has these files: its answer, and what it was asked for each time."""
    loaded = load("plugins/action/compose_project_info.py")

    def run(there, args=None, answer=None):
        rounds = []

        class Fake(loaded.ActionModule):
            def _execute_module(self, task_vars):
                wanted = self._task.args.get("files") or []
                rounds.append(wanted)
                own = {path: one for path, one in there.items() if path in (*wanted, *facts()["compose"], *facts()["env_files"])}
                return {"changed": False, "projects": [facts()], "files": own, **(answer(len(rounds)) if answer else {})}

        task = SimpleNamespace(async_val=0, check_mode=False, action="compose_project_info", args=args or {"project": ["shop"]})
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp/x"), transport="ssh")
        made = Fake(task, connection, None, None, SimpleNamespace(template=lambda value: value))
        return made.run(task_vars=TASK_VARS), rounds

    return run


def test_it_asks_until_it_has_every_file(ask):
    there = files(compose=INCLUDING) | more(
        **{"one.yml": "include: [two.yml]\n", "two.yml": "services: {b: {env_file: b.env}}\n"}
    )
    answer, rounds = ask(there)
    assert rounds[:3] == [[], [f"{FOLDER}/one.yml"], [f"{FOLDER}/two.yml"]]
    assert {*rounds[3]} == {f"{FOLDER}/b.env"}
    assert len(rounds) == 4
    assert answer["files"] == {**there, f"{FOLDER}/b.env": {"why": "absent"}}


def test_it_asks_once_where_nothing_was_asked_for(ask):
    assert ask(files(compose=INCLUDING), {"project": []})[1] == [[]]


def test_a_host_is_not_asked_for_ever(ask):
    there = files(compose="include: [a0.yml]\n") | more(**{f"a{n}.yml": f"include: [a{n + 1}.yml]\n" for n in range(20)})
    _answer, rounds = ask(there)
    assert len(rounds) == 1 + adoption.ROUNDS


def test_a_failure_half_way_is_a_failure(ask):
    answer, _rounds = ask(files(compose=INCLUDING), answer=lambda n: {"failed": True, "msg": "gone"} if n == 2 else {})
    assert answer == {"failed": True, "msg": "gone"}


def test_what_is_not_declared_is_dropped(ask):
    hostile = {"add_host": {"host_name": "x"}, "ansible_facts": {"a": 1}, "results": []}
    answer, _rounds = ask(files(), answer=lambda _n: hostile)
    assert set(answer) == {"changed", "projects", "files"}


@pytest.fixture
def act(load, tmp_path, monkeypatch):
    """Run the action adoption for what hosts said."""
    loaded = load("plugins/action/adoption.py")
    typed = {"inventory": ["hosts.yml"]}
    monkeypatch.setattr(context, "CLIARGS", typed)
    monkeypatch.setattr(loaded.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.chdir(tmp_path)

    def run(said, vault="", command=None, **args):
        typed.update(command or {})
        loader = DataLoader()
        if vault:
            loader.set_vault_secrets([("default", VaultSecret(vault.encode()))])
        made = loaded.ActionModule.__new__(loaded.ActionModule)
        made._task, made._loader = SimpleNamespace(args={"into": "inv", **args}, action="adoption"), loader
        hostvars = {host: {"ansible_host": f"{host}.lan", "adopt_found": one} for host, one in said.items()}
        return made.run(task_vars={"ansible_play_hosts_all": list(said), "hostvars": hostvars})

    return run


def answer(*several, read=None):
    return {"changed": False, "projects": list(several or [facts()]), "files": files() if read is None else read}


def test_it_shows_and_writes_nothing(act, tmp_path):
    result = act({"nas": answer(), "nuc": answer(facts(name="other"))})
    assert result["good"]
    assert result["msg"].startswith("nas\n  shop: 2 of 2 services running, in /srv/shop\n")
    assert result["msg"].endswith("-i hosts.yml -e project=shop")
    assert list(tmp_path.iterdir()) == []


def test_it_writes_one_inventory_for_each_project(act, tmp_path):
    result = act({"nas": answer(facts(), facts(name="other")), "nuc": answer()}, project=["shop", "other"])
    assert result["good"]
    assert "inv/shop was written. Nothing was touched on nas, nuc." in result["msg"]
    assert "inv/other was written. Nothing was touched on nas." in result["msg"]
    assert sorted(path.name for path in (tmp_path / "inv").iterdir()) == ["other", "shop"]
    assert "ansible_host: nuc.lan" in (tmp_path / "inv/shop/hosts.yml").read_text()
    assert "canary" not in result["msg"]
    assert not act({"nas": answer()}, project=["shop"])["good"]
    assert act({"nas": answer()}, project=["shop"], overwrite=True)["good"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"nas": answer(facts(name="x"))},
            "shop: no inventory was written. No host that could be looked at has a Compose project shop.",
        ),
        ({"nas": answer(facts(compose=[]))}, "shop: no inventory was written. Project shop on nas: its containers do not say"),
        # All that is wrong, and nothing of it.
        (
            {"nas": answer(), "nuc": answer(facts(ours=True))},
            "shop: no inventory was written. Project shop on nuc: this tool rolls",
        ),
    ],
)
def test_what_is_refused_writes_nothing(act, tmp_path, said, sentence):
    result = act(said, project=["shop"])
    assert not result["good"]
    assert sentence in result["msg"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"unreachable": True, "msg": "x"}, "it cannot be reached; ansible nuc -m ping, with the"),
        ({"failed": True, "msg": "Docker is absent.", "module_stderr": "\nbash: x\ny"}, "Docker is absent. (bash: x)"),
        ({}, "it did not answer"),
    ],
)
def test_a_host_that_could_not_be_looked_at_is_said_and_the_others_go_on(act, tmp_path, said, why):
    result = act({"nas": answer(), "nuc": said}, project=["shop"])
    assert not result["good"]
    assert f"nuc\n  could not be looked at: {why}" in result["msg"]
    assert result["msg"].endswith("It is not known whether the project also runs on nuc.")
    assert (tmp_path / "inv/shop/hosts.yml").exists()


def test_with_a_vault_password_secrets_are_never_on_the_disk_in_plain(act, tmp_path):
    read = files(compose="services: {web: {image: a, env_file: app.env}}\n") | more(**{"app.env": "TOKEN=canary-token\n"})
    assert act({"nas": answer(read=read)}, vault="pw", project=["shop"])["good"]
    texts = [path.read_bytes() for path in (tmp_path / "inv").rglob("*") if path.is_file()]
    assert not any(b"canary" in text for text in texts)
    vault = VaultLib([("default", VaultSecret(b"pw"))])
    assert b"canary-password" in vault.decrypt((tmp_path / "inv/shop/group_vars/all/vault.yml").read_bytes())
    assert vault.decrypt((tmp_path / "inv/shop/.files/shop/app.env").read_bytes()) == b"TOKEN=canary-token\n"


def test_what_was_typed_says_how_a_host_is_reached(act, tmp_path):
    command = {"connection": "local", "remote_user": "deploy", "become": True}
    act({"nas": answer(facts(service()))}, command=command, project=["shop"])
    text = (tmp_path / "inv/shop/hosts.yml").read_text()
    for line in ("ansible_connection: local", "ansible_user: deploy", "ansible_become: true", "ansible_host: nas.lan"):
        assert f"      {line}\n" in text


def test_a_host_writes_nowhere_else(act, tmp_path):
    """Whatever it says of its paths."""
    hostile = [
        facts(name="shop", compose=[f"{FOLDER}/../../docker-compose.yml"]),
        facts(name="two", folder="/", compose=["/a.yml"]),
    ]
    read = {
        **files(compose="services: {web: {volumes: ['../../x:/x:ro', './b:/b:ro']}}\n"),
        **{"/a.yml": files()[f"{FOLDER}/docker-compose.yml"], "/../../../evil": {"base64": "eA==", "mode": "0777"}},
        f"{FOLDER}/b": {"folder": True},
        f"{FOLDER}/b/../../../evil": {"base64": "eA==", "mode": "0777"},
        f"{FOLDER}/b/../docker-compose.yml": {"base64": "eA==", "mode": "0777"},
    }
    mounts = [(f"{FOLDER}/../../x", "/x", True), (f"{FOLDER}/b", "/b", True)]
    hostile.append(facts(service(mounts=mounts), name="three", env_files=[]))
    result = act({"nas": answer(*hostile, read=read)}, project=["shop", "two", "three"])
    assert "shop: no inventory was written" in result["msg"]
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} == {"inv"}
    assert {path.name for path in (tmp_path / "inv").iterdir()} <= {"two", "three"}
    for path in (tmp_path / "inv").rglob("*"):
        assert not path.is_symlink()
        assert path.name != "evil"
