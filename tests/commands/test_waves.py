"""Waves under names of one's own, on several hosts, through the real ansible-playbook."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
GROUPS = {"web": ["h1"], "workers": ["h2", "h3"]}
DEFAULT = {"backend": ["h1"], "cpu_workers": ["h2", "h3"], "gpu_workers": ["h1"]}


def stacks(*waves):
    return {f"of_{wave}": {"wave": wave, "compose": "/nowhere/docker-compose.yml"} for wave in waves}


@pytest.fixture
def fleet(ansible, tmp_path):
    """Run a playbook on hosts in these groups; one more is in none."""

    def run(playbook, *options, groups=GROUPS, own=None, facts=None, **given):
        def typed(playbook, place, options):
            inventory = json.loads(Path(place).read_text())
            inventory["all"]["children"] = {name: {"hosts": {host: {} for host in hosts}} for name, hosts in groups.items()}
            Path(place).write_text(json.dumps(inventory))
            return ["ansible-playbook", "-i", place, playbook, *options]

        hosts = {name: {"rollout_dir": str(tmp_path / name)} for name in ("other", "h1", "h2", "h3")}
        for name, mine in (own or {}).items():
            hosts[name].update(mine)
        done = ansible(
            playbook, *options, hosts=hosts, facts={"rollout_stacks": stacks(*groups), **(facts or {})}, typed=typed, **given
        )
        assert "Traceback" not in done.stdout + done.stderr
        assert "Could not match" not in done.stdout + done.stderr
        assert not (tmp_path / "touched").exists()
        return done

    return run


@pytest.fixture
def flow(fleet, root, tmp_path):
    """What a rollout does in which play, with roles that only say what the real ones would do; `fleet` is the real one."""
    begin = yaml.safe_load((root / "roles/plan/tasks/main.yml").read_text())[0]["ansible.builtin.set_fact"]
    switch = yaml.safe_load((root / "roles/switch/tasks/main.yml").read_text())[-1]["stack"]["stack"]
    (revert,) = yaml.safe_load((root / "roles/revert/tasks/main.yml").read_text())
    fact = {name: begin[name] for name in ("rollout_hosts", "rollout_first")}

    def say(words):
        return {"ansible.builtin.debug": {"msg": f"<{words}>"}}

    roles = {
        "plan": [
            {"ansible.builtin.set_fact": {**fact, "rollout_result": "{{ result }}", "rollout_run": "r", "revert_again": False}}
        ],
        "stage": [{**say("{{ rollout_first }} of {{ rollout_hosts | join(' ') }}"), "run_once": True}],
        "switch": [{**say("{{ inventory_hostname }}: {{ mine | join(' ') }}"), "vars": {"mine": switch}}],
        "revert": [{**say("{{ inventory_hostname }}: {{ revert_wave }}"), "when": revert["when"]}],
        "jobs": [],
        "settle": [],
        "report": [],
    }
    for role, tasks in roles.items():
        place = tmp_path / "roles" / role / "tasks"
        place.mkdir(parents=True)
        for name in ("main", "again", "prove", "data", "after"):
            (place / f"{name}.yml").write_text(json.dumps(tasks if name == "main" else []))
    (tmp_path / "roles/fleet").symlink_to(root / "roles/fleet")

    def run(*options, result=None, facts=None, **given):
        env = {"ANSIBLE_ROLES_PATH": str(tmp_path / "roles"), "ANSIBLE_STDOUT_CALLBACK": "default"}
        known = {"result": {"name": "n", "settled": False, "changed": True, **(result or {})}, **(facts or {})}
        done = fleet("playbooks/rollout.yml", *options, facts=known, env=env, **given)
        assert done.returncode == 0, done.stdout + done.stderr
        plays = [part.partition("]") for part in done.stdout.split("PLAY [")[1:]]
        said = [(name, re.findall(r"<([^>]*)>", rest)) for name, _end, rest in plays]
        return [(name, words) for name, words in said if words]

    return run


def test_they_go_one_after_the_other(flow):
    mine = {"rollout_waves": ["web", "absent", "workers"]}
    assert flow(facts=mine) == [
        ("Stage on every host", ["h1 of h1 h2 h3"]),
        ("Switch wave web", ["h1: of_web"]),
        ("Switch wave workers", ["h2: of_workers"]),
        ("Switch wave workers", ["h3: of_workers"]),
    ]
    several = {**mine, "rollout_serial": 2}
    (*_earlier, (name, said)) = flow(facts=several)
    assert (name, set(said)) == ("Switch wave workers", {"h2: of_workers", "h3: of_workers"})
    # With --limit the host of the fleet's lock stays the same.
    assert flow("--limit", "h3", facts=mine) == [
        ("Stage on every host", ["h1 of h3"]),
        ("Switch wave workers", ["h3: of_workers"]),
    ]


def test_the_way_back_is_the_other_way_round(flow):
    fault = {"fault": {"phase": "switch", "host": "h3", "msg": "sick"}}
    (name, said) = flow(facts={"rollout_waves": ["workers", "web"]}, result=fault)[-1]
    assert (name, said[0], set(said[1:])) == ("Revert", "h1: web", {"h2: workers", "h3: workers"})


def test_one_group_is_enough(flow):
    groups, facts = {"web": ["h2", "h1"]}, {"rollout_waves": ["web"], "rollout_serial": 2}
    assert flow(groups=groups, facts=facts) == [
        ("Stage on every host", ["h2 of h2 h1"]),
        ("Switch wave web", ["h2: of_web"]),
        ("Switch wave web", ["h1: of_web"]),
    ]


def test_six_of_them_and_a_first_one_without_hosts(flow):
    names = ["none", *"abcde"]
    done = flow(groups={name: ["h1"] for name in names[1:]}, facts={"rollout_waves": names})
    assert [name for name, _said in done] == ["Stage on every host", *(f"Switch wave {name}" for name in names[1:])]


def test_the_default_is_as_it_was(flow):
    assert flow(groups=DEFAULT) == [
        ("Stage on every host", ["h1 of h1 h2 h3"]),
        ("Switch the backend", ["h1: of_backend"]),
        ("Switch the CPU workers", ["h2: of_cpu_workers"]),
        ("Switch the CPU workers", ["h3: of_cpu_workers"]),
        ("Switch the GPU workers", ["h1: of_gpu_workers"]),
    ]
    alone = {name: ["h1"] for name in DEFAULT}
    # The last has nothing left to do.
    assert flow(groups=alone)[1:] == [
        ("Switch the backend", ["h1: of_backend"]),
        ("Switch the CPU workers", ["h1: of_cpu_workers of_gpu_workers"]),
    ]


def test_status_has_the_hosts_of_all_waves(fleet):
    done = fleet("status.yml", facts={"rollout_waves": ["web", "workers"]})
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^(?:h\d|other)$", done.stdout, re.MULTILINE) == ["h1", "h2", "h3"]
    assert "no hosts matched" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("playbook", ["playbooks/unlock.yml", "playbooks/give_back.yml"])
def test_locks_are_looked_for_in_all_waves(fleet, playbook):
    done = fleet(playbook, facts={"rollout_waves": ["web", "workers"]}, interrupted_run="r")
    assert done.returncode == 0, done.stdout + done.stderr


LIST = "expected the names of one to six groups, each once and in their order."


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"rollout_waves": ["web", "workers"], "rollout_stacks": stacks("backend", "web")},
            "On hosts h1, h2, h3: rollout_stacks.of_backend.wave is 'backend': expected one of the groups web, workers.",
        ),
        ({"rollout_waves": ["web", *"abcdef"]}, f"rollout_waves is web, a, b, c, d, e, f: {LIST}"),
        ({"rollout_waves": ["web", "web"]}, f"rollout_waves is web, web: {LIST}"),
        ({"rollout_waves": ["web", "all"]}, f"rollout_waves is web, all: {LIST}"),
        ({"rollout_waves": ["ungrouped"]}, f"rollout_waves is ungrouped: {LIST}"),
        (
            {"rollout_waves": ["web", "worker"]},
            "The inventory has a group 'workers': the groups of a rollout are spelt web, worker.",
        ),
        ({"rollout_waves": ["webb"]}, "has no host in the groups webb: ansible-inventory --graph"),
        (
            {},
            "has no host in the groups backend, cpu_workers, gpu_workers: ansible-inventory --graph, with the same -i, shows what",
        ),
    ],
)
def test_refused(fleet, facts, sentence):
    done = fleet("rollout.yml", facts=facts, sha="abc1234")
    said = " ".join(done.stdout.split())
    assert done.returncode == 2, said
    assert said.count("ROLLOUT REFUSED: nothing was touched") == 1
    assert "INTERRUPTED" not in said
    assert sentence in said
    assert "no hosts matched" not in said


def test_hosts_that_disagree_are_refused(fleet):
    own = {"h1": {"rollout_waves": ["web", "workers"]}, "h3": {"rollout_waves": ["workers", "web"]}}
    done = fleet("rollout.yml", own={**own, "h2": own["h1"]}, sha="abc1234")
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    assert "rollout_waves is web, workers on host h1, and workers, web on host h3: a fleet has one list." in said
