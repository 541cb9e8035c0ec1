"""Reads the Compose files that a host handed over, in bounded time and memory: YAML of a few lines can fill either."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence, TypeVar

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.rollout.controller import adopted, adoption
from ansible.module_utils.rollout.controller.exchange import bounded
from ansible.module_utils.rollout.errors import Refusal, RolloutError

# Seconds for the files of one project. Real ones take some hundredths.
READ_S = 20.0
UNREADABLE = Refusal(
    adoption.SECTION,
    "{where}: its Compose files could not be read ({why}). Look at them on that host: docker compose config",
    "look at the project's Compose files on its host",
)
_Found = TypeVar("_Found")


def wanted(host: str, answer: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The files that a host is asked for next, of the projects ``names``. One that cannot be taken over needs none.

    Args:
        answer: what `compose_project_info` answered so far.
    """
    found: dict[str, None] = {}
    for facts in answer.get("projects") or []:
        if facts["name"] in names:
            project = adoption.Project(host, facts, answer["files"])
            try:
                found.update(dict.fromkeys(within(project, project.wanted)))
            except RolloutError:
                # It is said once, where the inventory would be written.
                continue
    return list(found)


def adopt(host: str, facts: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> adopted.Adopted:
    """What the inventory says of a project.

    Raises:
        RolloutError: it cannot be taken over; says why.
    """
    project = adoption.Project(host, facts, files)

    def read() -> adopted.Adopted:
        project.wanted()
        return adopted.of(project)

    return within(project, read)


def with_profiles(host: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer whose projects say which profiles are in use; none where their Compose files could not be read."""

    def seen(facts: Mapping[str, Any]) -> list[str]:
        project = adoption.Project(host, facts, answer["files"])
        try:
            return within(project, lambda: adopted.profiles(project))
        except RolloutError:
            return []

    return {**answer, "projects": [{**facts, "profiles": seen(facts)} for facts in answer["projects"]]}


def within(project: adoption.Project, read: Callable[[], _Found], seconds: float = READ_S) -> _Found:
    """What reading a project's files comes to.

    Raises:
        RolloutError: it takes too long or too much memory, or it stumbles; or what ``read`` raises.
    """
    try:
        with bounded(seconds, True):
            return read()
    except AnsibleConnectionFailure:
        raise UNREADABLE(where=project.where, why=f"that takes more than {seconds:g} s, or too much memory") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UNREADABLE(where=project.where, why=type(error).__name__) from None
