"""Looks at the Compose projects of a host, and at the files from which they were started. Touches nothing."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from ansible.module_utils.rollout.domain import running_projects as projects
from ansible.module_utils.rollout.io import project_files
from ansible.module_utils.rollout.io.engine import Engine


def look(engine: Engine, names: Sequence[str], files: Iterable[str]) -> dict[str, Any]:
    """Every Compose project, and the text of files.

    Args:
        names: projects whose Compose files and .env files are read; without any, the Compose files of all, since their .env files
            hold secrets that nobody asked for.
        files: absolute paths of files and folders that are read too.

    Returns:
        ``projects``, as `domain.running_projects.project` has them; and ``files``, path -> base64 and mode, or why it was not
        read, or that it is a folder whose files are there too.

    Raises:
        RolloutError: the engine cannot be asked.
    """
    containers = projects.named(engine.everything())
    used = {str(one["Image"]) for of_it in containers.values() for one in of_it}
    images = {str(one["Id"]): one for one in engine.inspect("image", sorted(used))}
    found = [projects.project(name, of_it, images) for name, of_it in containers.items()]
    read = project_files.Files()
    for one in found:
        own = f"{one['folder']}/{projects.ENV}"
        # Compose before 2.22 does not say that it read it.
        if not one["env_files"] and one["folder"] and project_files.is_file(own):
            one["env_files"] = [own]
        if one["name"] in names or not names:
            for path in (*one["compose"], *(one["env_files"] if names else ())):
                read.take(path)
    for path in files:
        read.take(path)
    return {"projects": found, "files": read.found}
