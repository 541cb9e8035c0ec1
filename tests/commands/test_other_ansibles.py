"""The playbooks as other people start Ansible: their displays and callbacks, their programs, from elsewhere. Each of them for real.

Whatever is loaded: the reason is in the output, the report is written, and what may not begin is refused.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
REASON = "sha 'xyz' is not a commit: expected 7 to 40 characters 0-9 a-f, for example -e sha=abc1234."
OTHERS = {"ANSIBLE_CALLBACKS_ENABLED": "profile_tasks", "ANSIBLE_STDOUT_CALLBACK": "default"}
# What Ansible reads of a checkout.
TREE = ("ansible.cfg", "rollout.yml", "status.yml", "playbooks", "roles", "library", "plugins", "module_utils", "inventory")


def checkout(root, tmp_path):
    """A checkout that everybody may write to: Ansible ignores its ansible.cfg."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in TREE:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, copy / name)
    (copy / "collections").symlink_to(root / "collections")
    copy.chmod(0o777)
    return copy


@pytest.fixture
def ways(root, tmp_path):
    others = root / ".cache/others/bin"

    def program(name):
        if not (others / name).exists():
            pytest.skip(f".cache/others has no {name}: make test-commands installs it")
        # It starts the Ansible beside it.
        return {"PATH": f"{tmp_path}:{others}:{os.environ['PATH']}"}

    def runner(playbook, inventory, options):
        cmdline = shlex.join(options)
        where = ["--project-dir", str(root), "--inventory", inventory, "--cmdline", cmdline]
        return ["ansible-runner", "run", str(tmp_path / "runner"), "-p", playbook, *where]

    def navigator(playbook, inventory, options):
        kept = ["--playbook-artifact-enable", "false", "--log-file", str(tmp_path / "navigator.log")]
        mode = ["--mode", "stdout", "--execution-environment", "false"]
        return ["ansible-navigator", "run", playbook, "-i", inventory, *mode, *kept, *options]

    def elsewhere(where):
        return lambda playbook, inventory, options: ["ansible-playbook", "-i", inventory, str(where / playbook), *options]

    def way(name):
        if name == "ara":
            env = program("ara")
            find = [others / "python3", "-m", "ara.setup.callback_plugins"]
            plugins = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
            return {"env": {**env, "ANSIBLE_CALLBACK_PLUGINS": plugins, "ARA_BASE_DIR": str(tmp_path / "ara")}}
        if name == "runner":
            (tmp_path / "runner").mkdir(exist_ok=True)
            return {"env": program("ansible-runner"), "typed": runner}
        if name == "navigator":
            return {"env": program("ansible-navigator"), "typed": navigator}
        if name == "elsewhere":
            env = {**OTHERS, "ANSIBLE_CONFIG": str(root / "ansible.cfg")}
            return {"env": env, "typed": elsewhere(root), "cwd": tmp_path}
        if name == "writable":
            copy = checkout(root, tmp_path)
            return {"env": {"ANSIBLE_CONFIG": str(copy / "ansible.cfg")}, "cwd": copy}
        # A display of Ansible's.
        return {"env": {**OTHERS, "ANSIBLE_STDOUT_CALLBACK": name}}

    return way


WAYS = ("default", "minimal", "oneline", "json", "ara", "runner", "navigator", "elsewhere", "writable")


def plain(text):
    """The words, whatever a display quotes, breaks or indents."""
    return " ".join(text.replace("\\n", " ").replace('\\"', '"').split())


@pytest.mark.parametrize("name", WAYS)
def test_the_reason_is_in_the_output_and_the_report_is_written(ansible, ways, tmp_path, name):
    done = ansible("rollout.yml", sha="xyz", **ways(name))
    said = plain(done.stdout + done.stderr)
    assert done.returncode == 2, said
    assert "ROLLOUT REFUSED: nothing was touched, what ran before still runs." in said
    assert REASON in said
    (report,) = (tmp_path / "reports").glob("*/report.html")
    # From where one is, if it lies below.
    assert f"{report.parent.name}/report.html" in said
    document = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
    assert not [note for note in document["notes"] if note.startswith("When each step began and ended is not known")]
    assert "waves" in document
    if name == "ara":
        assert list((tmp_path / "ara").rglob("*.sqlite")), "ARA has recorded it"


@pytest.mark.usefixtures("released")
def test_a_list_of_callbacks_of_ones_own_hides_no_screen(ansible):
    done = ansible("status.yml", env={"ANSIBLE_CALLBACKS_ENABLED": "profile_tasks"})
    assert done.returncode == 0, done.stdout
    assert "Everything runs as it was released." in plain(done.stdout)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tags", "switch"], "--tags would run a part of rollout.yml, and leave out what the rest relies on"),
        (["--start-at-task", "Switch the wave"], "--start-at-task would run a part of rollout.yml"),
        (["--skip-tags", "all,always"], "--skip-tags would run a part of rollout.yml"),
        (["-e", "rollout_kep=3"], "rollout_kep is not known: is it rollout_keep that you mean?"),
    ],
)
@pytest.mark.parametrize("name", ["default", "json"])
def test_what_may_not_begin_is_refused(ansible, ways, tmp_path, name, options, sentence):
    done = ansible("rollout.yml", *options, **ways(name))
    said, other = (done.stderr, done.stdout) if name == "json" else (done.stdout, done.stderr)
    assert done.returncode == 2
    assert f"ROLLOUT REFUSED: nothing was touched. {sentence}" in plain(said)
    assert other == ""
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("name", ["ara", "runner", "navigator", "elsewhere", "writable"])
def test_a_part_is_refused_by_every_program(ansible, ways, tmp_path, name):
    done = ansible("rollout.yml", "--tags", "switch", **ways(name))
    assert done.returncode == 2
    assert "ROLLOUT REFUSED: nothing was touched. --tags would run a part of rollout.yml" in plain(done.stdout + done.stderr)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("callbacks", ["rollout", "tree"])
@pytest.mark.parametrize("stdout", ["json", "ansible.posix.json"])
def test_json_stays_json(ansible, tmp_path, callbacks, stdout):
    env = {"ANSIBLE_STDOUT_CALLBACK": stdout, "ANSIBLE_CALLBACKS_ENABLED": callbacks, "ANSIBLE_CALLBACK_TREE_DIR": str(tmp_path)}
    done = ansible("rollout.yml", sha="xyz", env=env)
    tasks = [task for play in json.loads(done.stdout)["plays"] for task in play["tasks"]]
    assert REASON in tasks[-1]["hosts"]["localhost"]["msg"]


@pytest.mark.usefixtures("released")
def test_a_table_is_the_result_of_a_task(ansible):
    done = ansible("status.yml", env=OTHERS)
    assert done.returncode == 0
    assert "Everything runs as it was released." in plain(done.stdout)


@pytest.mark.usefixtures("released")
def test_a_document_is_alone_on_stdout_whatever_the_display(ansible):
    done = ansible("status.yml", env={"ANSIBLE_STDOUT_CALLBACK": "json"}, format="json")
    assert json.loads(done.stdout)["as_released"] is True
    assert '"plays"' in done.stderr


@pytest.mark.parametrize("place", ["elsewhere", "writable"])
def test_without_its_configuration_ansible_finds_no_role(ansible, ways, root, place):
    """README says what to set: ANSIBLE_CONFIG."""
    given = ways(place)
    done = ansible("rollout.yml", sha="xyz", **{**given, "env": {}})
    assert done.returncode != 0
    assert "the role 'fleet' was not found" in done.stderr
    assert "ANSIBLE_CONFIG" in (root / "README.md").read_text()
