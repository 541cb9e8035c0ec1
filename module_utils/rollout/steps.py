"""The steps of a run on a host: what each takes, and which verb it asks. The modules of the same names document them."""

from __future__ import annotations

import contextlib
import threading
import traceback
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from ansible.module_utils.rollout import drain, guard, hold, observe, settle, together
from ansible.module_utils.rollout import stage as staging
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.switch import Switch

Params = Mapping[str, Any]
# How every step names the state directory and the application.
STORE: dict[str, dict[str, Any]] = {
    "root": {"type": "str", "required": True},
    "application": {"type": "str", "required": True},
}


@dataclass(frozen=True)
class Step:
    """One step: its argument spec as Ansible writes it, what is required when, and what it does.

    ``act`` gets the store and the engine of the host, the parameters, and whether it is a check.
    """

    arguments: dict[str, dict[str, Any]]
    act: Callable[[Store, Engine, Params, bool], dict[str, Any]]
    required_if: list[tuple[Any, ...]] = field(default_factory=list)


def outcome(call: Callable[[], dict[str, Any]], verbose: bool = False) -> dict[str, Any]:
    """What a call returns, or its failure as one sentence (``failed``, ``msg``, and the facts behind it)."""
    try:
        return call()
    except RolloutError as error:
        return {"failed": True, "msg": str(error), **error.facts}
    except OSError as error:
        return {"failed": True, "msg": f"{error.strerror or error} ({error.filename or 'no file'})."}
    except Exception as error:  # whatever it is, the operator reads a sentence, and -vvv the rest
        msg = f"Unexpected {type(error).__name__}: {error}. This is a defect of the rollout; run again with -vvv."
        return {"failed": True, "msg": msg, **({"exception": traceback.format_exc()} if verbose else {})}


def _lock(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    run = params["run"]
    if params["state"] == "released":
        return hold.release(store, run, check, params["owner"], params["force"])
    if params["state"] == "renewed":
        return hold.renew(store, run, params["ttl"], check)
    alive = [str(process) for process in params["owner"].get("alive", [])]
    held = hold.hold(store, run, params["owner"], alive, params["ttl"], params["wait"], check)
    # Of Compose the next step learns, which needs it: nobody waits for it here.
    return {**held, "host": observe.host(store, engine, params["application"], compose=False)} if params["observe"] else held


def _release(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    with contextlib.nullcontext() if check else store.step(params["run"]):
        if params["state"] == "abandoned":
            return {"changed": False} if check else settle.reverted(store, params["run"], params["name"])
        if params["state"] in ("proven", "stable"):
            return _settle(store, engine, params, check)
        return _stage(store, engine, params, check)


def _settle(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    name, run, stable = params["name"], params["run"], params["state"] == "stable"
    seen: dict[str, Any] = {}
    if params["prove"] or not stable:
        seen = settle.prove(store, engine, params["application"], name, run, params["torch_timeout"])
    if stable:
        seen.update(settle.confirm(store, engine, name, run, params["action"], params["keep"], check, params["behind"]))
    return {**seen, "unlocked": params["unlock"] and _unlocked(store, run, check)}


def _unlocked(store: Store, run: str, check: bool) -> bool:
    try:
        hold.release(store, run, check)
    except (RolloutError, OSError):
        # The release is what it is all the same: the run tries again at its end, and says what is wrong.
        return False
    return True


def _stage(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    login = staging.Login(params["registry"], params["username"], params["password"])
    if params["name"]:
        return _told("rollback", params, staging.restage(store, engine, params["name"], check, login, [*params["stacks"]]))
    order = staging.Order(
        params["application"],
        params["release"],
        params["run"],
        params["images"],
        params["stacks"],
        params["environment"],
        params["secrets"],
        params["torch_timeout"],
        login,
    )
    return _told("rollout", params, staging.stage(store, engine, order, check))


def _told(action: str, params: Params, done: dict[str, Any]) -> dict[str, Any]:
    """A preview says of itself which run it belongs to: whoever shows it has nothing else."""
    known = {"action": action, "run": params["run"]}
    return {**done, "preview": {**known, **done["preview"]}} if "preview" in done else done


def _stack(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    arming = threading.Lock()

    def arm() -> None:
        with arming:
            guard.arm(store, params["application"], params["run"], params["name"], params["confirm_timeout"])

    def one(part: Store, stack: str) -> dict[str, Any]:
        switch = _switch(part, engine, params, stack, arm)
        done = switch.remove(check) if params["state"] == "absent" else switch.switch(check, params["wait"], params["settle"])
        return {**done, "services": [{**service, "stack": stack} for service in done["services"]]}

    with contextlib.nullcontext() if check else store.step(params["run"]):
        if params["ttl"]:
            hold.renew(store, params["run"], params["ttl"], check)
        return together.together(one, store, params["stack"], params["together"])


def _switch(store: Store, engine: Engine, params: Params, stack: str, arm: Callable[[], None]) -> Switch:
    return Switch(
        store,
        engine,
        params["application"],
        stack,
        params["name"],
        params["run"],
        params["torch_timeout"],
        params["gpu_release_timeout"],
        arm,
        params["drain"],
        params["drain_timeout"],
        params["together"],
    )


STEPS = {
    "lock": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["held", "renewed", "released"], "default": "held"},
            "run": {"type": "str", "required": True},
            "observe": {"type": "bool", "default": False},
            "owner": {"type": "dict", "default": {}},
            "ttl": {"type": "float", "default": 900},
            "wait": {"type": "float", "default": 0},
            "force": {"type": "bool", "default": False},
        },
        _lock,
    ),
    "release": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["staged", "proven", "stable", "abandoned"], "default": "staged"},
            "run": {"type": "str", "required": True},
            "name": {"type": "str", "default": ""},
            "release": {"type": "str"},
            "images": {"type": "dict", "default": {}},
            "stacks": {"type": "dict", "default": {}},
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "action": {"type": "str", "choices": ["rollout", "rollback"], "default": "rollout"},
            "keep": {"type": "int", "default": 5},
            "prove": {"type": "bool", "default": False},
            "unlock": {"type": "bool", "default": False},
            "behind": {"type": "list", "elements": "str", "default": []},
            "registry": {"type": "str", "default": ""},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "torch_timeout": {"type": "float", "default": 60},
        },
        _release,
        [("state", "stable", ("name",)), ("state", "proven", ("name",))],
    ),
    "stack": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "stack": {"type": "list", "elements": "str", "required": True},
            "earlier": {"type": "list", "elements": "dict", "default": []},
            "name": {"type": "str", "required": True},
            "run": {"type": "str", "required": True},
            "wait": {"type": "bool", "default": True},
            "ttl": {"type": "float", "default": 0},
            "confirm_timeout": {"type": "float", "default": 0},
            "together": {"type": "bool", "default": True},
            "settle": {"type": "bool", "default": False},
            "gpu_release_timeout": {"type": "float", "default": 60},
            "torch_timeout": {"type": "float", "default": 60},
            "drain": {"type": "str", "choices": list(drain.MODES), "default": drain.CHECKPOINT},
            "drain_timeout": {"type": "float", "default": 300},
        },
        _stack,
    ),
}
