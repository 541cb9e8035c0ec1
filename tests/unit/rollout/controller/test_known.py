from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import known
from ansible.module_utils.rollout.domain.dotenv import MASK


class Undefined(dict):
    """A mapping as Ansible has it: what refers to nothing raises when it is asked for."""

    def __getitem__(self, name):
        if name in ("UNDEFINED", "rollout_notify_urls"):
            raise ValueError("'vault_x' is undefined")
        return super().__getitem__(name)


HOSTVARS = {
    "h1": Undefined(
        rollout_stacks={
            "core": {"secrets": Undefined(UNDEFINED=1, PW="canary-pw", PIN=4711, WORD="web", NONE=None), "template": "x"},
            "DB_PASSWORD": "canary-indent",
        },
        rollout_registry_password="canary-registry",
        rollout_notify_urls=["never"],
    ),
    "h2": {"rollout_stacks": "canary-text", "rollout_notify_urls": ["ntfy://canary-url/x"]},
    "h3": {},
    "h4": {
        "rollout_registries": {"r.io": {"username": "ada", "password": "canary-login"}, "password": "canary-flat"},
        "rollout_read": {
            "sources": {"core": {"secrets": {"PW": "canary-read"}, "hidden": ["canary-hidden"], "files": {"a": "no"}}}
        },
    },
}
DOCUMENT = {
    "verdict": "refused",
    "hosts": [{"name": "h1", "services": [{"service": "web", "why": "canary-pw, web"}]}],
    "faults": [
        {"host": "h1", "msg": "canary-indent and canary-registry", "log": "4711\nntfy%3A%2F%2Fcanary-url%2Fx", "phase": "plan"}
    ],
    "seconds": 4711,
}


def test_what_ansible_says_is_looked_through_for_all_secrets_of_the_inventory():
    mask = known.mask(list(HOSTVARS), HOSTVARS, known.names(DOCUMENT))
    found = known.hidden(DOCUMENT, mask)
    assert found["faults"] == [{"host": "h1", "msg": f"{MASK} and {MASK}", "log": f"{MASK}\n{MASK}", "phase": "plan"}]
    assert found["hosts"] == [{"name": "h1", "services": [{"service": "web", "why": f"{MASK}, web"}]}]
    assert found["seconds"] == 4711


@pytest.mark.parametrize(
    "value",
    [
        *("canary-pw", "canary-indent", "canary-registry", "canary-text", "ntfy://canary-url/x", "4711"),
        # Of other registries, and of what was found beside the Compose files.
        *("canary-login", "canary-flat", "canary-read", "canary-hidden"),
    ],
)
def test_each_secret_is_known(value):
    assert known.mask(list(HOSTVARS), HOSTVARS, {"web"}).text(f"a {value} b web") == f"a {MASK} b web"
