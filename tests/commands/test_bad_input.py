"""Bad input, through the real ansible-playbook: refused by a sentence, with nothing touched. A fake docker stands in."""

from __future__ import annotations

import json
import shutil

import pytest
from ansible.module_utils.rollout.domain import ledger
from ansible.module_utils.rollout.io.store import Store
from story import held, until

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
STACK = {"wave": "backend", "template": "x.j2"}
UNTOUCHED = "ROLLOUT REFUSED: nothing was touched, what ran before still runs."


@pytest.fixture
def play(ansible, tmp_path):
    """Run a playbook that is refused."""

    def run(playbook="rollout.yml", groups=("backend",), options=(), **variables):
        before = {str(p.relative_to(tmp_path / "state")) for p in (tmp_path / "state").rglob("*")}
        done = ansible(playbook, *options, groups=groups, **variables)
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert "Traceback" not in said
        assert not (tmp_path / "touched").exists()
        # The agent has ended within a second of its run. Mutexes may stay; nothing that a run works with does.
        until(lambda: not list((tmp_path / "state").glob(".agent-*")))
        left = {str(p.relative_to(tmp_path / "state")) for p in (tmp_path / "state").rglob("*")}
        assert left - before <= {".lock", ".step", ".agent", "releases"}
        return said

    return run


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"sha": "xyz"}, "On host localhost: sha 'xyz' is not a commit: expected 7 to 40 characters 0-9 a-f"),
        ({"sha": "abc1234", "tag": "v1"}, "On host localhost: sha=abc1234 and tag=v1 are both given"),
        (
            {"rollout_stacks": {"core": {**STACK, "wave": "frontend"}}},
            "rollout_stacks.core.wave is 'frontend': expected one of the groups backend, cpu_workers, gpu_workers.",
        ),
        (
            {"sha": "abc1234", "rollout_drain": "wait", "rollout_drain_timeout": 900},
            "rollout_drain_timeout is 900 and rollout_confirm_timeout 900: the guard would act while a service is still waited",
        ),
        ({"rollout_keep": -1}, "On host localhost: rollout_keep is -1: expected 0 or more."),
        ({"rollout_serial": 0}, "On host localhost: rollout_serial is 0: expected 1 or more."),
        # No other wave has a host here.
        (
            {"rollout_stacks": {"core": {"template": "x"}}},
            "On host localhost: rollout_stacks.core.wave is missing: expected one of the groups",
        ),
        ({"rollout_application": "../x"}, "rollout_application is '../x': expected a-z, 0-9, - and _"),
        ({"rollout_dir": "state"}, "rollout_dir is 'state': expected a path that begins with / or ~/."),
        ({"sha": "abc1234"}, "Registry localhost:1 does not answer"),
    ],
)
def test_refused(play, variables, sentence):
    screen = play(**variables)
    assert UNTOUCHED in screen
    assert sentence in screen


def test_a_misspelt_group(play):
    screen = play(groups=("backend", "cpu-workers"))
    assert UNTOUCHED in screen
    assert (
        "The inventory has a group 'cpu-workers': the groups of a rollout are spelt backend, cpu_workers, gpu_workers." in screen
    )


def test_a_wrong_type(play):
    said = " ".join(play(rollout_keep="many").split())
    assert (
        "nothing was touched, what ran before still runs. On host localhost: rollout_keep is 'many': not of the type int. docs/"
        in said
    )


def test_a_variable_that_is_nowhere(play):
    said = " ".join(play(rollout_keep="{{ nowhere }}").split())
    assert (
        "ROLLOUT REFUSED: nothing was touched, what ran before still runs. On host localhost: 'nowhere' is undefined: def" in said
    )


@pytest.mark.parametrize("wrong", ["h1", "h2"])
def test_what_one_host_of_several_has_wrong_ends_the_run_for_all(play, wrong):
    said = " ".join(play(hosts={"h1": {}, "h2": {}, wrong: {"rollout_keep": "many"}}, sha="abc1234").split())
    assert f"{UNTOUCHED} On host {wrong}: rollout_keep is 'many': not of the type int." in said
    assert "REVERT" not in said


@pytest.mark.parametrize("playbook", ["rollout.yml", "rollback.yml"])
def test_what_was_typed_refers_to_nothing_on_several_hosts(play, playbook):
    said = " ".join(play(playbook, hosts={"h1": {}, "h2": {}}, sha="{{ nowhere }}").split())
    assert f"{UNTOUCHED.removeprefix('ROLLOUT ')} On host h1: 'nowhere' is undefined: define it" in said
    assert "REVERT" not in said


def test_what_was_typed_wrong_is_told_once_for_all_hosts(play):
    said = " ".join(play(hosts={"h1": {}, "h2": {}}, sha="xyz").split())
    assert f"{UNTOUCHED} On hosts h1, h2: sha 'xyz' is not a commit" in said
    assert "REVERT" not in said


def test_a_drain_that_is_none(play):
    said = " ".join(play(rollout_drain="kill").split())
    assert "value of rollout_drain must be one of: wait, checkpoint, force, got: kill" in said


@pytest.mark.parametrize("typed", [{}, {"environment": "present"}])
def test_a_rollback_without_history(play, typed):
    screen = play("rollback.yml", **typed)
    assert "ROLLBACK REFUSED: nothing was touched" in screen
    assert "There is no earlier stable release on host localhost to roll back to. Stable releases there: none." in screen


def test_a_typed_name_that_is_a_keyword_of_a_task(ansible, tmp_path):
    task = {"ansible.builtin.debug": {"msg": "<{{ 'environment' | rollout_typed }}>"}}
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    assert "<present>" in ansible(str(tmp_path / "play.json"), environment="present").stdout


@pytest.mark.parametrize("playbook", ["rollback.yml"])
def test_a_part_of_a_run(play, playbook):
    said = play(playbook, options=["--tags", "switch"])
    assert (
        f"REFUSED: nothing was touched. --tags would run a part of {playbook.rpartition('/')[2]}, and leave out what the rest relies on"
        in said
    )
    assert "PLAY [" not in said


def test_a_second_run(play, tmp_path):
    store = Store(str(tmp_path / "state"))
    before = held(store, "r1", user="alice", host="laptop", action="rollback")
    screen = play(sha="abc1234")
    assert UNTOUCHED in screen
    assert (
        "Another run holds the lock: run r1 (rollback) of alice@laptop, since 2026-01-01T00:00:00Z. Its last sign of life was"
        in screen
    )
    assert "ansible-playbook playbooks/unlock.yml" in screen
    assert store.lock() == before


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"sha": ""}, "sha is given and empty"),
        ({"sah": "abc1234"}, "sah is not known: is it sha that you mean?"),
        ({"rollout_kep": 3}, "rollout_kep is not known: is it rollout_keep that you mean?"),
    ],
)
def test_what_seems_mistyped(play, variables, sentence):
    assert f"ROLLOUT REFUSED: nothing was touched. {sentence}" in play(**variables)


@pytest.mark.parametrize("typed", ["abc1234", "sha:abc1234"])
@pytest.mark.parametrize("playbook", ["rollout.yml", "rollback.yml"])
def test_a_release_that_is_named_to_nobody(play, playbook, typed):
    said = play(playbook, options=("-e", typed))
    assert f"REFUSED: nothing was touched. -e {typed} is not NAME=VALUE: is it -e sha=abc1234 that you mean?" in said


@pytest.mark.parametrize(
    ("playbook", "typed", "said"),
    [
        ("status.yml", "fromat=json", "fromat is not known: is it format that you mean?"),
        ("playbooks/gpu_check.yml", "json", "-e json is not NAME=VALUE."),
        (
            "playbooks/unlock.yml",
            "rollout_appplication=x",
            "rollout_appplication is not known: is it rollout_application that you mean?",
        ),
    ],
)
def test_what_seems_mistyped_to_the_others(play, playbook, typed, said):
    assert said in play(playbook, options=("-e", typed))


@pytest.mark.parametrize("playbook", ["rollout.yml", "status.yml"])
def test_an_inventory_without_hosts(play, playbook):
    assert "has no host in the groups backend, cpu_workers, gpu_workers" in play(playbook, groups=("backends", "others"))


@pytest.mark.parametrize("playbook", ["rollout.yml", "rollback.yml"])
def test_a_ledger_that_lost_an_entry(play, tmp_path, playbook):
    (tmp_path / "state").mkdir()
    entries = [ledger.line(n, "staged", "r", "t", name="v1", release="v1") for n in (1, 3)]
    (tmp_path / "state/ledger.jsonl").write_text("".join(entries))
    said = play(playbook, sha="abc1234")
    assert "REFUSED: nothing was touched" in said
    assert "The ledger of host localhost is damaged: entry 2 is gone, so what it says of the releases there may be wrong." in said
    assert (tmp_path / "state/ledger.jsonl").read_text() == "".join(entries)
