"""The conditions that a compose file sets before a service counts as released: the keys of `x-rollout`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain.backup import BACKUP, Backup
from ansible.module_utils.rollout.domain.shape import ITEM, Key, choice, faults, require
from ansible.module_utils.rollout.domain.torch import cuda
from ansible.module_utils.rollout.domain.urls import is_port, is_url, shown
from ansible.module_utils.rollout.errors import Refusal

FLAVOURS = ("absent", "cpu", "cuda", "rocm")
# When a job runs: before any service is switched, or once all of them were.
BEFORE, AFTER = "before", "after"
# For a job that one host of the fleet runs for all of them.
FIRST = "first"
# How a service lets go of its work before it is stopped.
WAIT, CHECKPOINT, FORCE = "wait", "checkpoint", "force"
MODES = (WAIT, CHECKPOINT, FORCE)
CA_OR_NONE = Refusal(
    "Keys and values",
    "{where} has both ca and insecure: true. With the first a certificate must be trusted, with the second any will do. Remove "
    "one of them.",
    "remove `insecure: true`, unless the service has no certificate of that CA",
)
NOBODY_NAMES = Refusal(
    "Keys and values",
    "{where} has names_release: true, but only the answer of an http:// or https:// URL can name a release, and health has none. "
    "Add one, or remove names_release.",
    "add an `http://` URL whose answer has the field `release`, or remove `names_release`",
)
NOT_REHEARSED = Refusal(
    "Keys and values",
    "{where} has rehearse: true and {key}: only a service that a rollout replaces can be rehearsed. Remove one of them.",
    "remove `rehearse`: a kept service is not replaced, and a job runs once a release anyway",
)


@dataclass(frozen=True)
class Expectation:
    """The torch contract of a service.

    ``flavour`` is ``absent``, ``cpu``, ``cuda`` or ``rocm``; ``python`` the interpreter in the container. The others are
    for GPUs: ``min_cuda`` is ROCm's version where the flavour is ``rocm``; ``devices`` at least so many; ``uuids`` these
    among them; ``min_memory_mib`` the size of each card; ``min_free_mib`` what must be free on it before torch starts there;
    ``min_shm_mib`` the size of /dev/shm. Empty and 0 ask for nothing.
    """

    flavour: str
    python: str = "python3"
    min_torch: str = ""
    min_cuda: str = ""
    devices: int = 0
    uuids: tuple[str, ...] = ()
    min_memory_mib: int = 0
    min_free_mib: int = 1024
    min_shm_mib: int = 0

    @property
    def on_gpu(self) -> bool:
        """Whether torch must compute on a GPU."""
        return self.flavour in ("cuda", "rocm")

    def __str__(self) -> str:
        return "no torch" if self.flavour == "absent" else f"torch for {self.flavour}"


@dataclass(frozen=True)
class Drain:
    """The key ``drain`` of a gate. Its URLs are as seen from the host.

    ``stop`` takes ``{"draining": true}`` and ``{"draining": false}`` by POST; ``busy``, where there is one, otherwise
    ``stop`` answers with the list ``operations``, which is empty when the service is idle. ``mode`` and ``timeout`` (in
    seconds) are the run's where they are not given.
    """

    stop: str
    busy: str = ""
    mode: str = ""
    timeout: Optional[float] = None


@dataclass(frozen=True)
class StartFirst:
    """The key ``start_first`` of a gate.

    ``proxy`` is the service of the same stack that stands in front, ``port`` the one on which it asks ours, ``drain`` how many
    seconds the old container's open connections may take to end.
    """

    proxy: str
    port: int
    drain: float = 30.0


def _not_negative(value: float) -> bool:
    return not value < 0


def _version(value: str) -> bool:
    return not value or bool(cuda.numbers(value))


def _listed(value: Any) -> list[Any]:
    """One URL may stand without the brackets of a list."""
    return [value] if isinstance(value, str) else list(value)


def _urls(value: Any, where: str) -> list[str]:
    meaning = "an http:// or https:// URL, or tcp://NAME:PORT"
    wrong = [url for url in _listed(value) if not is_url(url) and not is_port(url)]
    return [ITEM.text(where=where, value=shown(str(url)), meaning=meaning) for url in wrong]


def _words(value: list[Any]) -> bool:
    typed = all(isinstance(word, (str, int, float)) and not isinstance(word, bool) for word in value)
    return typed and bool(value) and value[0] != ""


def _together(gate: Mapping[str, Any], where: str) -> list[str]:
    """A sentence for each two keys that contradict each other."""
    found = [CA_OR_NONE.text(where=where)] if gate.get("ca") and gate.get("insecure") is True else []
    health = gate.get("health")
    urls = _listed(health) if isinstance(health, (str, list)) else []
    if gate.get("names_release") is True and (urls or gate.get("exec")) and all(map(is_port, urls)):
        found.append(NOBODY_NAMES.text(where=where))
    other = "keep: true" if gate.get("keep") is True else f"job: {gate['job']}" if gate.get("job") else ""
    if gate.get("rehearse") is True and other:
        found.append(NOT_REHEARSED.text(where=where, key=other))
    return found


def _torch(value: Any, where: str) -> list[str]:
    return faults(value, where, TORCH) if isinstance(value, Mapping) else []


_SECONDS = Key("a number of seconds", (int, float))
_SOME_SECONDS = Key("a number of seconds", (int, float), _not_negative)
_MIB = Key("a whole number of MiB", (int,), _not_negative)
TORCH = {
    "flavour": choice(FLAVOURS, needed=True),
    "python": Key("the path of the interpreter", (str,)),
    "min_torch": Key("a version in quotes", (str,), _version),
    "min_cuda": Key("a version in quotes", (str,), _version),
    "devices": Key("a whole number", (int,), _not_negative),
    "uuids": Key("a list of UUIDs", (list, tuple)),
    "min_memory_mib": _MIB,
    "min_free_mib": _MIB,
    "min_shm_mib": _MIB,
}
DRAIN = {
    "stop": Key("an http:// URL that stops the intake of work", (str,), is_url, needed=True),
    "busy": Key("an http:// URL", (str,), is_url),
    "mode": choice(MODES),
    "timeout": _SOME_SECONDS,
}
START_FIRST = {
    "proxy": Key("the service in front", (str,), needed=True),
    "port": Key("the service's own port", (int,), lambda port: 0 < port < 65536, needed=True),
    "drain": _SOME_SECONDS,
}
_EXPECTED = Key(
    f"one of {', '.join(FLAVOURS)}, or a mapping with flavour",
    (str, Mapping),
    lambda value: not isinstance(value, str) or value in FLAVOURS,
    _torch,
)
# Files in anonymous volumes are carried over to the next container, unless the service has this word.
RENEW = "renew"
GATE = {
    "anonymous": choice(("keep", RENEW)),
    "backup": Key(
        "a mapping with preset, or with dump and restore, commands in the container",
        (Mapping,),
        inner=lambda value, at: faults(value, at, BACKUP),
    ),
    "ca": Key("the absolute path of a PEM file on the host", (str,), lambda path: path.startswith("/")),
    "compatible": Key("true or false", (bool,)),
    "deadline": _SECONDS,
    "drain": Key(
        "a mapping with stop, the URL that stops the intake of work", (Mapping,), inner=lambda value, at: faults(value, at, DRAIN)
    ),
    "exec": Key("a list of words, for example [pg_isready, -U, app]", (list,), _words),
    "health": Key("a list of URLs", (list, str), inner=_urls),
    "insecure": Key("true or false", (bool,)),
    "job": Key(f"{BEFORE}, {AFTER} or false", (str, bool), lambda value: value in (BEFORE, AFTER, False)),
    "keep": Key("true or false", (bool,)),
    "names_release": Key("true or false", (bool,)),
    "rehearse": Key("true or false", (bool,)),
    "rerun": Key("true or false", (bool,)),
    "run_on": choice((FIRST,)),
    "start_first": Key(
        "a mapping with proxy, the service in front, and port", (Mapping,), inner=lambda value, at: faults(value, at, START_FIRST)
    ),
    "successes": Key("a whole number", (int,)),
    "torch": _EXPECTED,
    "window": _SECONDS,
    "writes": Key("true or false", (bool,)),
}
_MAPPING = Key("a mapping", (Mapping,), inner=lambda value, at: [*faults(value, at, GATE), *_together(value, at)])


def expectation(value: Any, where: str) -> Expectation:
    """Read what a gate or a module says: a flavour, or a mapping of `Expectation`'s fields.

    Raises:
        RolloutError: what is wrong, all of it; names ``where``, the keys and the values.
    """
    require(_EXPECTED.faults(value, where))
    said: dict[str, Any] = {"flavour": value} if isinstance(value, str) else dict(value)
    return Expectation(**{**said, "uuids": tuple(said.get("uuids", ()))})


def read_gate(gate: Any, where: str) -> dict[str, Any]:
    """Read the gate of one service: the fields of a `compose.Service` that it sets.

    Raises:
        RolloutError: what is wrong, all of it; names ``where``, the keys and the values.
    """
    require(_MAPPING.faults(gate, where))
    found = {key: value for key, value in gate.items() if key not in ("keep", "anonymous", "job")}
    if gate.get("anonymous") == RENEW:
        found["renew"] = True
    if "health" in gate:
        found["health"] = tuple(_listed(gate["health"]))
    if "exec" in gate:
        found["exec"] = tuple(map(str, gate["exec"]))
    if "backup" in gate:
        found["backup"] = Backup.of(gate["backup"])
    if "drain" in gate:
        found["drain"] = Drain(**gate["drain"])
    if "start_first" in gate:
        found["start_first"] = StartFirst(**gate["start_first"])
    if "torch" in gate:
        found["torch"] = expectation(gate["torch"], f"{where}.torch")
    return found
