"""The steps of a run on a host: which verb each asks. `domain/steps.py` has what each takes."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import Any, Callable, Mapping, Optional

from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle, bundle
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import (
    backups,
    data,
    guard,
    jobs,
    locking,
    observe,
    patience,
    quiet,
    reading,
    settle,
    switch,
    together,
)
from ansible.module_utils.rollout.verbs import drill as drills
from ansible.module_utils.rollout.verbs import restage as restaging
from ansible.module_utils.rollout.verbs import stage as staging
from ansible.module_utils.rollout.verbs.deployment import Deployment, Policy
from ansible.module_utils.rollout.verbs.phases import Phases

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
    login, held = _login(params), _data(store, engine, params)
    # What its data forbids is said before anything else.
    said = held.look(params["name"], params["data"]) if params["name"] else held.to_finish()
    if params["name"] and params["present"]:
        return _told("rollback", params, staging.stage(store, engine, _present(store, params, login), check), said)
    if params["name"]:
        return _told("rollback", params, _restage(store, engine, params, check, login), said)
    held.require_not_older(params["release"], params["images"])
    order = replace(_order(params, login, params["release"], params["images"], _bundles(params)), jobs=_asked(params))
    return _told("rollout", params, staging.stage(store, engine, order, check), said)


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
        adopt=params["adopt"],
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
    limits = {"confirm_s": params["confirm_timeout"], "drain_mode": params["drain"], "replaced": params["replace"]}
    return restaging.restage(store, engine, params["name"], check, login, [*params["stacks"]], **limits)


def _told(action: str, params: Params, done: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """A preview says of itself which run it belongs to: whoever shows it has nothing else; and what happens to the data.

    Args:
        said: as `Data.look` has it.
    """
    known = {"action": action, "run": params["run"], **{key: said[key] for key in said if key != "notes"}}
    if "preview" not in done:
        return done
    notes = [*done["preview"].get("notes", []), *said.get("notes", [])]
    # Services that stop for a restore start again.
    settled = bool(done["preview"].get("settled")) and not said.get("restore")
    return {**done, "preview": {**known, **done["preview"], "notes": notes, "settled": settled}}


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

    def all_of_them() -> dict[str, Any]:
        if not check and not params["wait"]:
            _data(store, engine, params).come_back()
        return together.together(one, store, params["stack"], params["together"])

    with contextlib.nullcontext() if check else store.step(params["run"]):
        if params["ttl"]:
            locking.renew(store, params["run"], params["ttl"], check)
        return patience.patient(store, engine, all_of_them)


def _switched(deployment: Deployment, params: Params, check: bool, arm: Callable[[], None]) -> dict[str, Any]:
    if params["state"] == "absent":
        return switch.remove(deployment, check)
    if check:
        return switch.look(deployment) if params["wait"] else switch.differs(deployment)
    return switch.bring(deployment, arm) if params["wait"] else switch.bring_back(deployment, arm)


def _job(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    releases.require_name(params["name"])
    kinds = {"quiesced": ["quiet"], "saved": ["backups"], "restored": ["restored", "backups"], "back": ["restored"]}
    kinds.update(still=[], passed=[])
    if check:
        return {"changed": False, **{key: [] for key in kinds.get(params["state"], ["jobs"])}}
    with store.step(params["run"]):
        if params["ttl"]:
            locking.renew(store, params["run"], params["ttl"], check)
        return patience.patient(store, engine, lambda: _prepared(store, engine, params))


def _prepared(store: Store, engine: Engine, params: Params) -> dict[str, Any]:
    policy, phases = Policy(drain_mode=params["drain"], drain_s=params["drain_timeout"]), Phases()
    held = _data(store, engine, params, phases)
    if params["state"] == "back":
        return phases.timed(held.come_back)
    named = {key: params[key] for key in ("application", "name", "run")}
    all_stacks = [Deployment(store, engine, stack=one, policy=policy, phases=phases, **named) for one in params["stacks"]]
    # A stack that the release lacks needs no preparation, but its services may write.
    stacks = [one for one in all_stacks if one.stack in one.manifest["stacks"]]

    def arm() -> None:
        guard.arm(store, params["application"], params["run"], params["name"], params["confirm_timeout"], again=True)

    acts: dict[str, Callable[[], dict[str, Any]]] = {
        "quiesced": lambda: jobs.told(all_stacks, lambda: quiet.quiesce(all_stacks, arm)),
        "restored": lambda: jobs.told(all_stacks, lambda: held.bring(params["name"], params["data"], arm)),
        "saved": lambda: jobs.save(stacks, params["jobs"], arm),
        "still": lambda: jobs.told(all_stacks, lambda: quiet.still(all_stacks)),
        "before": lambda: jobs.before(stacks, _asked(params), arm),
        "passed": lambda: held.passed(params["name"]),
        "after": lambda: jobs.after(stacks, _asked(params)),
    }
    done = acts[params["state"]]()
    if params["state"] != "after" and store.ledger().armed:
        # The next step gets all of the guard's time.
        arm()
    return done


def _backup(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    stable = store.ledger().stable
    if not stable:
        return {"changed": False, "backups": []}
    phases, named = Phases(), {key: params[key] for key in ("application", "run")}
    known = [stack for stack in params["stacks"] if stack in store.manifest(stable.name)["stacks"]]
    stacks = [Deployment(store, engine, stack=one, name=stable.name, phases=phases, **named) for one in known]

    def arm() -> None:
        guard.arm(store, params["application"], params["run"], stable.name, params["confirm_timeout"])

    with contextlib.nullcontext() if check else store.step(params["run"]):
        return patience.patient(store, engine, lambda: backups.by_hand(stacks, params["services"], check, arm))


def _asked(params: Params) -> jobs.Asked:
    named = {key: tuple(params[key]) for key in ("first", "rerun", "done")}
    return jobs.Asked(**named, ttl=params.get("ttl", 0.0), confirm=params["confirm_timeout"])


def _drill(store: Store, engine: Engine, params: Params, check: bool) -> dict[str, Any]:
    releases.require_name(params["name"])
    asked = drills.Asked(
        application=params["application"],
        run=params["run"],
        name=params["name"],
        stacks=tuple(params["stack"]),
        restore=params["state"] == "restored",
        login=_login(params),
        confirm_s=params["confirm_timeout"],
        drain_mode=params["drain"],
    )
    with contextlib.nullcontext() if check else store.step(params["run"]):
        return patience.patient(store, engine, lambda: drills.drill(store, engine, asked, check))


def _data(store: Store, engine: Engine, params: Params, phases: Optional[Phases] = None) -> data.Data:
    chosen = str(params.get("backup") or "")
    return data.Data(store, engine, params["application"], params["run"], [params["name"]], phases, chosen)


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
ACTS: dict[str, Callable[[Store, Engine, Params, bool], dict[str, Any]]] = {
    "lock": _lock,
    "release": _release,
    "stack": _stack,
    "job": _job,
    "drill": _drill,
    "backup": _backup,
}
