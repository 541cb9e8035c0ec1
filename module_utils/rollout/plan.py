"""What staging a release on a host needs and means: its directory's name, its bytes, its refusals. Pure."""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping, Optional

from ansible.module_utils.rollout import env
from ansible.module_utils.rollout.errors import RolloutError

# gzip halves to thirds a Python image's layers; pulling holds the compressed and the unpacked bytes at once.
UNPACKED_PER_COMPRESSED = 3.0
MARGIN_BYTES = 64 * 2**20


def compose_file(stack: str) -> str:
    """The name of a stack's compose file."""
    return f"docker-compose.{stack}.yml"


def project(application: str, stack: str) -> str:
    """The Compose project of a stack."""
    return f"{application}-{stack}"


def pins_file(stack: str) -> str:
    """The name of the second compose file, which pins a stack's images."""
    return f"docker-compose.{stack}.pins.json"


def environment(release: str, values: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a release's .env file.

    Raises:
        RolloutError: a secret is missing, or a name is given twice or is one of the host's own (`env.PASSED`).
    """
    for name, value in secrets.items():
        if value is None or str(value) == "":
            raise RolloutError(
                f"Secret {name} is missing: define the variable that rollout_stacks.<stack>.secrets.{name} names, in a file "
                "encrypted with ansible-vault."
            )
    twice = sorted((set(values) & set(secrets)) | ({"IMAGE_TAG"} & (set(values) | set(secrets))))
    if twice:
        raise RolloutError(f"{', '.join(twice)}: given twice (IMAGE_TAG is the rollout's own). Keep one.")
    taken = sorted(name for name in {*values, *secrets} if env.PASSED.fullmatch(name))
    if taken:
        raise RolloutError(
            f"{', '.join(taken)}: docker takes what the host says, whatever a release does. Choose another name in the "
            f"inventory, for example APP_{taken[0]}, and write {taken[0]}: ${{APP_{taken[0]}}} in the compose file."
        )
    return {"IMAGE_TAG": release, **values, **secrets}


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


def layers_to_come(images: Mapping[str, Mapping[str, Any]], platform: str, local: Iterable[str]) -> int:
    """Compressed bytes still to be pulled: layers of all images, each once, without those that are on the host.

    Args:
        images: repository -> what `Registry.resolve` returned.
        local: the diff_ids of all layers on the host.
    """
    have = set(local)
    sizes = {
        layer["diff_id"]: int(layer["size"])
        for image in images.values()
        for layer in image.get("platforms", {}).get(platform, [])
        if layer["diff_id"] not in have
    }
    return sum(sizes.values())


def require_platform(image: str, platforms: Iterable[str], platform: str) -> None:
    """Refuse an image that this processor cannot run.

    Raises:
        RolloutError: names the image's platforms.
    """
    found = sorted(platforms)
    # A variant (linux/arm/v7) is the engine's to choose.
    if found and not any(p == platform or p.startswith(platform + "/") for p in found):
        raise RolloutError(f"Image {image} is for {', '.join(found)}, but this host is {platform}: build it for {platform} too.")


def require_space(to_come: int, free: int, where: str) -> None:
    """Refuse a pull that would fill the disk.

    Raises:
        RolloutError: says needed and free bytes.
    """
    if not to_come:
        return
    needed = int(to_come * (1 + UNPACKED_PER_COMPRESSED)) + MARGIN_BYTES
    if free < needed:
        raise RolloutError(
            f"Not enough disk in {where}: needed {needed} bytes ({human(needed)}; {human(to_come)} to pull, and to "
            f"unpack), free {free} bytes ({human(free)}). Make room (docker system df), then run again."
        )


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
            before, after = env.masked(before, secrets), env.masked(after, secrets)
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


def human(size: float) -> str:
    """Bytes for people: ``1.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
