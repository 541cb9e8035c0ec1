"""The steps of a run on a host: which verb each asks. `domain/steps.py` has what each takes."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Mapping

from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle, bundle
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard, locking, observe, patience, reading, settle, switch, together
from ansible.module_utils.rollout.verbs import restage as restaging
from ansible.module_utils.rollout.verbs import stage as staging
from ansible.module_utils.rollout.verbs.deployment import Deployment, Policy

Params = Mapping[str, Any]


def _lock(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    run = params["run"]
    if params["state"] == "released":
        return locking.release(store, run, check, params["owner"], params["force"])
    if params["state"] == "renewed":
        return locking.renew(store, run, params["ttl"], check)
    alive = [str(process) for process in params["owner"].get("alive", [])]
    held = locking.hold(store, run, params["owner"], alive, params["ttl"], params["wait"], check)
    # Of Compose the next step learns, which needs it: nobody waits for it here.
    return {**held, "host": observe.host(store, engine, params["application"], compose=False)} if params["observe"] else held


def _release(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    releases.require_name(params["name"])
    with contextlib.nullcontext() if check or params["state"] == "read" else store.step(params["run"]):
        if params["state"] == "abandoned":
            return {"changed": False} if check else settle.reverted(store, params["run"], params["name"])
        act = {"read": _read, "staged": _stage}.get(params["state"], _settle)
        return patience.patient(store, engine, lambda: act(store, engine, params, check))


def _settle(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    name, run, stable, policy = params["name"], params["run"], params["state"] == "stable", Policy(params["torch_timeout"])
    seen: dict[str, Any] = {}
    if params["prove"] or not stable:
        seen = settle.prove(store, engine, params["application"], name, run, policy, params["calm"], params["watch"])
    if stable:
        seen.update(settle.confirm(store, engine, name, run, params["action"], params["keep"], check, params["behind"]))
    return {**seen, "unlocked": params["unlock"] and _unlocked(store, run, check)}


def _unlocked(store: Store, run: str, check: bool) -> bool:
    try:
        locking.release(store, run, check)
    except (RolloutError, OSError):
        # The release is what it is all the same: the run tries again at its end, and says what is wrong.
        return False
    return True


def _read(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    return reading.read(store, engine, params["application"], params["release"], _bundles(params), params["allow_short_secrets"])


def _stage(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    login = _login(params)
    if params["name"] and params["present"]:
        return _told("rollback", params, staging.stage(store, engine, _present(store, params, login), check))
    if params["name"]:
        return _told("rollback", params, _restage(store, engine, params, check, login))
    order = _order(params, login, params["release"], params["images"], _bundles(params))
    return _told("rollout", params, staging.stage(store, engine, order, check))


def _login(params: Params) -> Login:
    named = {name: one for name, one in params["registries"].items() if one.get("username")}
    others = {name: (str(one["username"]), str(one.get("password") or "")) for name, one in named.items()}
    return Login(params["registry"], params["username"], params["password"], others)


def _bundles(params: Params) -> dict[str, Bundle]:
    return {stack: bundle(stack, said) for stack, said in params["stacks"].items() if said}


def _order(
    params: Params, login: Login, release: str, images: dict[str, dict[str, Any]], stacks: dict[str, Bundle]
) -> staging.Order:
    return staging.Order(
        application=params["application"],
        release=release,
        run=params["run"],
        images=images,
        stacks=stacks,
        replace=tuple(params["replace"]),
        allow_short_secrets=params["allow_short_secrets"],
        torch_limit_s=params["torch_timeout"],
        confirm_s=params["confirm_timeout"],
        drain_mode=params["drain"],
        login=login,
    )


def _present(store: Store, params: Params, login: Login) -> staging.Order:
    """An earlier release with the environment of today: its images and files stay what they are.

    Raises:
        RolloutError: it is not what was staged, or has a stack more than the inventory.
    """
    name = params["name"]
    restaging.require_whole(store, name, [*params["stacks"]])
    manifest, today = store.manifest(name), _bundles(params)
    stacks = {stack: restaging.source(store, name, stack, today[stack]) for stack in manifest["stacks"]}
    images = {r: {**image, "now": True} for r, image in manifest["images"].items()}
    return _order(params, login, manifest["release"], images, stacks)


def _restage(store: Store, engine: Engine, params: Params, check: bool, login: Login) -> dict[str, Any]:
    limits = {"confirm_s": params["confirm_timeout"], "drain_mode": params["drain"]}
    return restaging.restage(store, engine, params["name"], check, login, [*params["stacks"]], **limits)


def _told(action: str, params: Params, done: dict[str, Any]) -> dict[str, Any]:
    """A preview says of itself which run it belongs to: whoever shows it has nothing else."""
    known = {"action": action, "run": params["run"]}
    return {**done, "preview": {**known, **done["preview"]}} if "preview" in done else done


def _stack(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    releases.require_name(params["name"])
    arming = threading.Lock()

    def arm() -> None:
        with arming:
            guard.arm(store, params["application"], params["run"], params["name"], params["confirm_timeout"])

    def one(part: Store, stack: str) -> dict[str, Any]:
        named = {key: params[key] for key in ("application", "name", "run")}
        deployment = Deployment(store=part, engine=engine, stack=stack, policy=_policy(params), **named)
        done = _switched(deployment, params, check, arm)
        return {**done, "services": [{**service, "stack": stack} for service in done["services"]]}

    with contextlib.nullcontext() if check else store.step(params["run"]):
        if params["ttl"]:
            locking.renew(store, params["run"], params["ttl"], check)
        return patience.patient(store, engine, lambda: together.together(one, store, params["stack"], params["together"]))


def _switched(deployment: Deployment, params: Params, check: bool, arm: Callable[[], None]) -> dict[str, Any]:
    if params["state"] == "absent":
        return switch.remove(deployment, check)
    if check:
        return switch.look(deployment) if params["wait"] else switch.differs(deployment)
    return switch.bring(deployment, arm) if params["wait"] else switch.bring_back(deployment, arm)


def _policy(params: Params) -> Policy:
    return Policy(
        torch_limit_s=params["torch_timeout"],
        gpu_release_s=params["gpu_release_timeout"],
        drain_mode=params["drain"],
        drain_s=params["drain_timeout"],
        together=params["together"],
        replace=tuple(params["replace"]),
    )


# Step -> what it does, with the store and the engine of the host, its parameters, and whether it is a check.
ACTS: dict[str, Callable[[Store, Engine, Params, bool], dict[str, Any]]] = {"lock": _lock, "release": _release, "stack": _stack}
