"""What staging a release on a host needs and means: its directory's name, its bytes, its refusals. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain.gate import WAIT
from ansible.module_utils.rollout.domain.mask import SHORTEST
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

if TYPE_CHECKING:
    from ansible.module_utils.rollout.domain.compose import Service

NO_SECRET = Refusal(
    "Compose file and environment",
    "Secret {name} is missing: define the variable that rollout_stacks.<stack>.secrets.{name} names, in a file encrypted with "
    "ansible-vault.",
    "put the variable into the vault",
)
SHORT_SECRET = Refusal(
    "Compose file and environment",
    "Secret {name} has fewer than {least} characters: a secret that short cannot be masked without garbling everything else. "
    "Make rollout_stacks.<stack>.secrets.{name} longer, or set rollout_allow_short_secrets: then it is printed unmasked.",
    "choose a longer secret, or set `rollout_allow_short_secrets`. A value that is not secret belongs in `environment`",
)
TWICE = Refusal(
    "Compose file and environment",
    "{names}: given twice (IMAGE_TAG is the rollout's own). Keep one.",
    "remove the name from `environment` or from `secrets`; `IMAGE_TAG` from both",
)
TAKEN = Refusal(
    "Compose file and environment",
    "{names}: docker takes what the host says, whatever a release does. Choose another name in the inventory, for example "
    "APP_{first}, and write {first}: ${{APP_{first}}} in the compose file.",
    "choose another name than PATH, HOME, USER, LANG, those of proxies, or DOCKER_…",
)
TOO_LATE = Refusal(
    "Compose file and environment",
    "{where} is {seconds:g} s and rollout_confirm_timeout {confirm:g}: the guard would act while the service is still waited "
    "for. Raise rollout_confirm_timeout, or lower that.",
    "raise `rollout_confirm_timeout`: above all that the services of a host may be waited for",
)
NOT_A_NAME = Refusal(
    "The rollback",
    "{name!r} is not the name of a release: expected letters, digits, '_', '.' and '-', as {example}.",
    "look at `ledger.jsonl` on that host and on the first backend host: somebody wrote that name into it",
)
# It is a directory below releases/, and is printed in commands.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}"


def require_name(name: str) -> None:
    """Refuse what is not the name of a release's directory; none is meant by the empty text.

    Raises:
        RolloutError: it could be a path, an option, or a part of a command.
    """
    if name and not re.fullmatch(NAME, name):
        raise NOT_A_NAME(name=name, example="sha-abc1234.2")


def compose_file(stack: str) -> str:
    """The name of a stack's compose file."""
    return f"docker-compose.{stack}.yml"


def project(application: str, stack: str) -> str:
    """The Compose project of a stack."""
    return f"{application}-{stack}"


def pins_file(stack: str) -> str:
    """The name of the second compose file, which pins a stack's images."""
    return f"docker-compose.{stack}.pins.json"


def environment(release: str, values: Mapping[str, Any], secrets: Mapping[str, Any], allow_short: bool = False) -> dict[str, Any]:
    """The variables of a release's .env file.

    Raises:
        RolloutError: all that is wrong: secrets are missing, or too short to be hidden unless ``allow_short``; or names are given
            twice or are the host's own (`dotenv.PASSED`).
    """
    wrong = Faults()
    for name, value in secrets.items():
        with wrong.gather():
            if value is None or str(value) == "":
                raise NO_SECRET(name=name)
            if len(str(value).strip()) < SHORTEST and not allow_short:
                raise SHORT_SECRET(name=name, least=SHORTEST)
    twice = sorted((set(values) & set(secrets)) | ({"IMAGE_TAG"} & (set(values) | set(secrets))))
    with wrong.gather():
        if twice:
            raise TWICE(names=", ".join(twice))
    taken = sorted(name for name in {*values, *secrets} if dotenv.PASSED.fullmatch(name))
    with wrong.gather():
        if taken:
            raise TAKEN(names=", ".join(taken), first=taken[0])
    wrong.refuse()
    return {"IMAGE_TAG": release, **values, **secrets}


def too_late(stack: str, services: Sequence[Service], confirm: float, mode: str) -> list[str]:
    """A sentence for each service of a stack that may be waited for longer than a guard waits.

    Args:
        confirm: seconds after which the guard acts; 0 for never.
        mode: how a service is drained whose gate does not say it.
    """
    waits = [(service.name, "deadline", service.deadline) for service in services if service.released]
    # Of a drain whose gate has no timeout, the run's settings are looked at.
    drained = [(s.name, s.drain) for s in services if s.drain and (s.drain.mode or mode) == WAIT]
    waits += [(name, "drain.timeout", drain.timeout) for name, drain in drained if drain.timeout is not None]
    return [
        TOO_LATE.text(where=f"{compose_file(stack)}: x-rollout.{name}.{key}", seconds=seconds, confirm=confirm)
        for name, key, seconds in waits
        if 0 < confirm <= seconds
    ]


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The names of the variables in which two .env files differ, but for the release's own."""
    return sorted(name for name in {*old, *new} - {"IMAGE_TAG"} if old.get(name) != new.get(name))


Side = tuple[Mapping[str, str], Mapping[str, Any]]


def barred(secrets: Iterable[str], here: Side, there: Side) -> dict[str, str]:
    """The secrets that a service outside the release was given: secret -> that service. It is never started anew, so it keeps
    what it had, or what it was told since.

    Args:
        secrets: names of secrets that differ.
        here, there: the variables and the stacks, as Compose understands them, of two releases.
    """
    found = {}
    for values, configs in (here, there):
        for config in configs.values():
            kept = {name: spec for name, spec in (config.get("services") or {}).items() if name not in config["x-rollout"]}
            for secret in secrets:
                value = json.dumps(values.get(secret, ""))[1:-1]
                user = next((name for name, spec in kept.items() if value and value in json.dumps(spec)), "")
                found.update({secret: user} if user else {})
    return dict(sorted(found.items()))


def variant(release: str, existing: Mapping[str, Mapping[str, Any]], content: Mapping[str, Any]) -> tuple[str, bool]:
    """The directory for a release, and whether it is there already with the same content.

    The same SHA with other content (a worker more, a rotated secret, an image pushed again) is another variant of
    the release: ``sha-abc1234``, ``sha-abc1234.2``, …

    Args:
        existing: directory name -> its content.
        content: file name -> text, and ``images`` -> repository -> digest.
    """
    own = re.compile(re.escape(release) + r"(?:\.(\d+))?")
    numbers = {name: int(m[1] or 1) for name in existing if (m := own.fullmatch(name))}
    # The newest first: of two equal variants the later one is meant.
    for name in sorted(numbers, key=lambda n: -numbers[n]):
        if existing[name] == content:
            return name, True
    number = max(numbers.values(), default=0) + 1
    return (release if number == 1 else f"{release}.{number}"), False


def diff(
    old: Mapping[str, Optional[str]],
    new: Mapping[str, str],
    secrets: Iterable[str],
    names: tuple[str, str],
) -> list[dict[str, str]]:
    """Ansible diffs of a release's files against those before, secrets masked."""
    out = []
    for file in sorted(set(old) | set(new)):
        before, after = old.get(file) or "", new.get(file, "")
        if before == after:
            continue
        if file == ".env":
            changed = _changed_secrets(before, after, secrets)
            before, after = dotenv.masked(before, secrets), dotenv.masked(after, secrets)
            after += "".join(f"# {name}: changed\n" for name in changed)
        if not file.endswith(".pins.json"):
            out.append(
                {
                    "before": before,
                    "after": after,
                    "before_header": f"{names[0]}/{file}",
                    "after_header": f"{names[1]}/{file}",
                }
            )
    return out


def _changed_secrets(before: str, after: str, secrets: Iterable[str]) -> list[str]:
    """Names of secrets whose value differs: masking alone would hide that."""
    old, new = (dict(line.partition("=")[::2] for line in text.split("\n")) for text in (before, after))
    return sorted(name for name in set(secrets) & set(old) & set(new) if old[name] != new[name])
