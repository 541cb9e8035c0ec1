"""The secrets that the controller knows, and the last look for them: at what Ansible itself says of a run that failed.

Hosts hide theirs where a text is made, and each step's answer is looked through once more. What is left are sentences of Ansible.
"""

from __future__ import annotations

import contextlib
from typing import Any, Collection, Iterable, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.domain.mask import Mask

# The keys of a run's document with words of this tool and names that the inventory gave: a secret may be a common word.
_NAMES = ("run", "action", "verdict", "release", "name", "service", "stack", "phase", "host", "old", "new", "state", "status")


def mask(hosts: Sequence[str], hostvars: Mapping[str, Any], names: Collection[str]) -> Mask:
    """A mask for the secrets in the inventory of these hosts.

    Args:
        names: texts that are not secrets, wherever they occur: a secret that equals one is not hidden.
    """
    found = [one for host in hosts for one in _of_host(hostvars, host)]
    return Mask([one for one in found if str(one) not in names])


def told(variables: Mapping[str, Any]) -> Mask:
    """A mask for the secrets that the host of a task may have been told: a hostile one prints what it likes.

    Args:
        variables: those of the task.
    """
    return mask([str(variables.get("inventory_hostname"))], variables.get("hostvars") or {}, ())


def names(document: Mapping[str, Any]) -> set[str]:
    """The names in a run's document: of hosts, stacks, services, releases."""
    return set(_named(document))


def hidden(value: Any, by: Mask) -> Any:
    """A structure with the secrets in its texts hidden, but for names."""
    if isinstance(value, Mapping):
        return {key: one if key in _NAMES and isinstance(one, str) else hidden(one, by) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(one, by) for one in value]
    return by.text(value) if isinstance(value, str) else value


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (str(one) for key, one in value.items() if key in _NAMES and isinstance(one, str))
        value = value.values()
    if not isinstance(value, str) and isinstance(value, Iterable):
        for one in value:
            yield from _named(one)


def _of_host(hostvars: Mapping[str, Any], host: str) -> Iterator[Any]:
    for name in ("rollout_registry_password", "rollout_notify_urls"):
        yield from _texts(hostvars, host, name)
    for registry in _texts(hostvars, host, "rollout_registries"):
        yield from _texts(registry, "password") if isinstance(registry, Mapping) else [registry]
    # What the inventory says, and what was found beside the Compose files.
    for stack in (
        stack for path in (("rollout_stacks",), ("rollout_read", "sources")) for stack in _texts(hostvars, host, *path)
    ):
        if not isinstance(stack, Mapping):
            # One indent too few made a stack of it.
            yield stack
        yield from _texts(stack, "secrets")
        yield from _texts(stack, "hidden")


def _texts(value: Any, *path: str) -> Iterator[Any]:
    """The values at the end of a path, one by one. An undefined one cannot be printed, so it is left out."""
    with contextlib.suppress(Exception):  # a template may raise anything
        for name in path:
            value = value[name]
        if isinstance(value, Mapping):
            for name in value:
                with contextlib.suppress(Exception):
                    yield value[name]
        else:
            yield from [value] if isinstance(value, str) else value
