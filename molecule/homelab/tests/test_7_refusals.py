"""What is refused before anything is touched, and how it is said."""

import pytest
import yaml

REFUSED = "ROLLOUT REFUSED: nothing was touched, what ran before still runs."


@pytest.fixture(autouse=True)
def untouched(fleet):
    """Nothing runs anew, and nobody keeps a lock."""

    def containers():
        return {host: fleet.exec(host, "docker", "ps", "--quiet", "--no-trunc") for host in fleet.hosts}

    before = containers()
    yield
    assert containers() == before
    for host in fleet.hosts:
        assert not fleet.exists(host, "lock.json"), host


def refused(controller, *arguments):
    result = controller.run("rollout.yml", "-e", "sha=aaaaaa1", *arguments, rc=2)
    assert REFUSED in result.said
    assert "Traceback" not in result.out
    return result.said.partition(REFUSED)[2]


def test_one_machine_under_two_names(controller, tmp_path):
    same = ("ansible_host", "ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
    facts = {name: f"{{{{ hostvars['workers-b'].{name} }}}}" for name in same}
    twin = tmp_path / "twin.yml"
    twin.write_text(yaml.safe_dump({"all": {"children": {"cpu_workers": {"hosts": {"workers-d": facts}}}}}))
    said = refused(controller, "--inventory", str(twin))
    assert "Hosts workers-b and workers-d are one machine (they have the same Docker engine" in said
    assert "keep one name in the inventory" in said


@pytest.mark.nightly
def test_a_wrong_key(controller, fleet, tmp_path):
    said = refused(
        controller, "-e", f"ansible_ssh_private_key_file={tmp_path}/absent", "-e", "ansible_ssh_args='-o IdentitiesOnly=yes'"
    )
    assert "Host core cannot be reached" in said
    assert "Permission denied (publickey" in said
    assert "Advice: the key or the user is wrong: check ansible_user and ansible_ssh_private_key_file with ssh." in said


@pytest.mark.nightly
def test_another_host_key(controller, tmp_path):
    known = tmp_path / "known_hosts"
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    known.write_text("".join(f"10.77.0.{n} {other}\n" for n in range(11, 15)))
    options = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes -o ControlPath=none"
    said = refused(controller, "-e", f"ansible_ssh_common_args='{options}'")
    assert "Host core cannot be reached" in said
    assert "the host shows another key than before" in said


@pytest.mark.nightly
def test_sudo_wants_a_password(controller, fleet):
    for host in fleet.hosts:
        fleet.exec(host, "mv", "/etc/sudoers.d/ktrdr", "/etc/ktrdr.sudoers")
    try:
        said = refused(controller, "-e", "ansible_become=true")
    finally:
        for host in fleet.hosts:
            fleet.exec(host, "mv", "/etc/ktrdr.sudoers", "/etc/sudoers.d/ktrdr")
    assert "--ask-become-pass" in said


def test_a_wrong_password_for_the_registry(controller):
    said = refused(controller, "-e", "rollout_registry_password=wrong")
    assert "Registry 10.77.0.2:5000 refuses access to image ktrdr-backend as user reader (HTTP 401)" in said
    assert "rollout_registry_username and rollout_registry_password (vaulted)" in said
