"""The volumes of a host, and what a compose file says of them. Pure."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible.module_utils.rollout.errors import Refusal

VOLUME_DIFFERS = Refusal(
    "What a stack needs of its host",
    "Volume {name} of project {project} is not what {file} says: {differences}. Docker does not change a volume that exists, so "
    "the data would stay in the old one. Write in the file what the volume has; or give it another name there (volumes.{key}.name"
    ": {name}-2), create that volume and copy the data: docker run --rm --volume {name}:/from:ro --volume {name}-2:/to alpine cp "
    "-a /from/. /to/",
    "keep the volume's definition; or name a new volume in the file, and copy the data into it while what writes there is "
    "stopped. No volume is ever replaced, emptied or left behind silently",
)
_HIDDEN = r"[\w-]*(?:pass|secret|token|key|cred)[\w-]*"


def differing(definition: Mapping[str, Any], inspected: Mapping[str, Any]) -> list[str]:
    """What of a volume that exists is not what the file says; labels do not count, as they hold no data elsewhere.

    Args:
        definition: of the file, as Compose prints it.
        inspected: what `docker volume inspect` says.
    """
    if definition.get("external"):
        return []
    found = []
    wanted, there = str(definition.get("driver") or "local"), str(inspected.get("Driver") or "local")
    if wanted != there:
        found.append(f"it has driver {there}, the file says {wanted}")
    asked, options = _texts(definition.get("driver_opts")), _texts(inspected.get("Options"))
    if asked != options:
        keys = sorted(key for key in {*asked, *options} if asked.get(key) != options.get(key))
        found.append(f"it has driver_opts {_shown(options, keys)}, the file says {_shown(asked, keys)}")
    return found


def _texts(options: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in (options or {}).items()}


def _shown(options: Mapping[str, str], keys: list[str]) -> str:
    """Options without what is secret in them: those of a share name its password."""
    texts = " ".join(f"{key}={options[key]}" for key in keys if key in options)
    return re.sub(rf"(?i)({_HIDDEN}=)[^, ]*", r"\1…", texts) or "none"
