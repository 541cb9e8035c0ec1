"""The keys that a stack of ``rollout_stacks`` has. Pure."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.domain.shape import Key, choice, faults
from ansible.module_utils.rollout.domain.source import inside
from ansible.module_utils.rollout.errors import Refusal

BOTH = Refusal(
    "The inventory",
    "{where} has template and compose. Keep one: compose for files that are deployed as they are, template for one that Jinja "
    "renders.",
    "keep `compose` or `template`",
)
NEITHER = Refusal(
    "The inventory",
    "{where} has neither compose nor template. Add compose: the path of its compose file, for example "
    "{{{{ inventory_dir }}}}/../{stack}/docker-compose.yml",
    "add `compose` with the path of the compose file",
)
# As Compose takes it: compose-go, NormalizeProjectName.
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _all(value: Any, good: Any = bool) -> bool:
    """Whether a value is a list of such texts."""
    return isinstance(value, list) and all(isinstance(one, str) and good(one) for one in value)


def _below(path: str) -> bool:
    return bool(inside(path)) and not path.startswith("~")


def _services(value: Mapping[str, Any], where: str) -> list[str]:
    """The faults of ``services``; the keys of each are judged with its compose file."""
    one = Key("a mapping of its keys, for example {keep: true}", (Mapping, type(None)))
    return [fault for name, keys in value.items() for fault in one.faults(keys, f"{where}.{name}")]


_BELOW = "a list of paths below the folder of the compose file"
_VARIABLES = "a list of names of variables"


def keys(waves: Sequence[str]) -> dict[str, Key]:
    """What one stack may have."""
    return {
        "adopt": Key("true or false", (bool,)),
        "allow_unset": Key(_VARIABLES, (list,), lambda value: _all(value, _VARIABLE.fullmatch)),
        "compose": Key(
            "the path of a compose file, or a list of them",
            (str, list),
            lambda value: bool(value) and (isinstance(value, str) or _all(value)),
        ),
        "data": Key(
            "an absolute path, or one that begins with ~/",
            (str, type(None)),
            lambda value: not value or value.startswith(("/", "~/")),
        ),
        "env_files": Key(_BELOW, (list,), lambda value: _all(value, _below)),
        "environment": Key("a mapping", (Mapping, type(None)), secret=True),
        "files": Key(_BELOW, (list,), lambda value: _all(value, _below)),
        "images": Key("a list of names", (list,)),
        "new_data": Key("true or false", (bool,)),
        "profiles": Key("a list of names", (list,), _all),
        "project": Key(
            "a name of a-z, 0-9, '-' and '_' that begins with a letter or a digit",
            (str, type(None)),
            lambda value: not value or bool(_PROJECT.fullmatch(value)),
        ),
        # Its value may be a secret.
        "secrets": Key("a mapping", (Mapping, type(None)), secret=True),
        "services": Key("a mapping, name of a service to its keys", (Mapping,), inner=_services),
        "tag_variable": Key("the name of a variable", (str,), lambda value: bool(_VARIABLE.fullmatch(value))),
        "template": Key("the path of a compose file's template", (str,), bool),
        "wave": choice(tuple(waves), needed=True, of="one of the groups"),
    }


def problems(stacks: Mapping[str, Any], waves: Sequence[str]) -> list[str]:
    """All that is wrong with the stacks, a sentence each."""
    known = keys(waves)
    # One indent too few makes a stack of a secret.
    mapping = Key("a mapping with wave and compose", (Mapping,), inner=lambda stack, at: _stack(stack, at, known), secret=True)
    return [fault for name, stack in stacks.items() for fault in mapping.faults(stack, f"rollout_stacks.{name}")]


def _stack(stack: Mapping[str, Any], where: str, known: Mapping[str, Key]) -> list[str]:
    found = faults(stack, where, known)
    if "compose" in stack and "template" in stack:
        found.append(BOTH.text(where=where))
    elif "compose" not in stack and "template" not in stack:
        found.append(NEITHER.text(where=where, stack=where.partition(".")[2]))
    return found
