"""What staging a release on a host needs and means: its directory's name, its bytes, its refusals. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Collection, Iterable, Mapping, Optional

from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain.mask import SHORTEST
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

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
    "{names}: given twice ({tag} is the rollout's own). Keep one.",
    "remove the name from `environment` or from `secrets`; the release's own variable from both",
)
TAKEN = Refusal(
    "Compose file and environment",
    "{names}: docker takes what the host says, whatever a release does. Choose another name in the inventory, for example "
    "APP_{first}, and write {first}: ${{APP_{first}}} in the compose file.",
    "choose another name than PATH, HOME, USER, LANG, those of proxies, or DOCKER_…",
)
NOT_A_NAME = Refusal(
    "The rollback",
    "{name!r} is not the name of a release: expected letters, digits, '_', '.' and '-', as {example}.",
    "look at `ledger.jsonl` on that host and on the first host of the first wave: somebody wrote that name into it",
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


def environment(
    release: str,
    values: Mapping[str, Any],
    secrets: Mapping[str, Any],
    allow_short: bool = False,
    tag_variable: str = "IMAGE_TAG",
) -> dict[str, Any]:
    """The variables of a stack's .env file; ``tag_variable`` gets the release's tag.

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
    twice = sorted((set(values) & set(secrets)) | ({tag_variable} & (set(values) | set(secrets))))
    with wrong.gather():
        if twice:
            raise TWICE(names=", ".join(twice), tag=tag_variable)
    taken = sorted(name for name in {*values, *secrets} if dotenv.PASSED.fullmatch(name))
    with wrong.gather():
        if taken:
            raise TAKEN(names=", ".join(taken), first=taken[0])
    wrong.refuse()
    return {tag_variable: release, **values, **secrets}


def differing(old: Mapping[str, str], new: Mapping[str, str], tag_variable: str = "IMAGE_TAG") -> list[str]:
    """The names of the variables in which two .env files differ, but for the release's own."""
    return sorted(name for name in {*old, *new} - {tag_variable} if old.get(name) != new.get(name))


Side = tuple[Mapping[str, str], Mapping[str, Any]]


def barred(secrets: Iterable[str], kept: Collection[str], here: Side, there: Side) -> dict[str, str]:
    """The secrets that a kept service was given: secret -> that service. It is never started anew, so it keeps what it had, or
    what it was told since.

    Args:
        secrets: names of secrets that differ.
        kept: the services of the stack that are kept.
        here, there: the variables and the stack, as Compose understands it, of two releases.
    """
    found = {}
    for values, config in (here, there):
        specs = {name: spec for name, spec in (config.get("services") or {}).items() if name in kept}
        for secret in secrets:
            value = json.dumps(values.get(secret, ""))[1:-1]
            user = next((name for name, spec in specs.items() if value and value in json.dumps(spec)), "")
            found.update({secret: user} if user else {})
    return found


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
        if file.rpartition("/")[2] == ".env":
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
