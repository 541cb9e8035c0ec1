"""The answers that a host may give: the keys of each step's and each module's answer, their types and their bounds. Pure.

A host may be ill, or in somebody else's hands. Of its answer the controller takes what is declared here; a key that is not is
dropped, since Ansible acts on some (`add_host`, `ansible_facts`) and the screens believe others.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible.module_utils.rollout.domain import job_answers, removal, running_projects
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.foreign import (
    MANY,
    TEXT,
    Take,
    WrongError,
    flag,
    if_so,
    listed,
    mapped,
    matching,
    maybe,
    number,
    one_of,
    or_none,
    read,
    said,
    shown,
    table,
    text,
)
from ansible.module_utils.rollout.errors import Refusal

FOREIGN = Refusal(
    "The agent of a run",
    "The host's answer to {step} was not used: {fault}. Find out which program answers there: another version of "
    "this tool, or an intruder.",
    "look at the host's python3 and docker, and at who else is root there; install it anew if that is anybody",
)
# Bytes of a whole answer: the largest that is known is the preview of some hundred services with their files, below one MiB.
WHOLE = 4 * 2**20

# Names as this tool and Compose write them: no path, no option, nothing that a shell or a terminal acts on.
NAME = matching(releases.NAME, "a name of letters, digits, '_', '.' and '-'")
_NO_NAME = or_none(NAME)
# A table's row without a service has a dash.
_ROW = matching(r"[A-Za-z0-9._-]{1,200}", "a name of letters, digits, '_', '.' and '-'")
_RUN = matching(r"[A-Za-z0-9-]{0,64}", "the id of a run")
_JUDGED = {
    "verdict": one_of("pass", "fail", "unknown"),
    "reason": NAME,
    "fault": maybe(one_of("image", "stack", "host")),
    "on_gpu": flag,
    **dict.fromkeys(("remedy", "expected", "observed"), said()),
}
# Facts that come from inside an image.
_SEEN: dict[str, Take] = {
    "duration_ms": if_so(number),
    # Its id may name a card.
    "checks": listed(table({"status": NAME, **dict.fromkeys(("id", "expected", "observed"), said())}, {"ms": if_so(number)})),
    "torch": if_so(
        table(
            {},
            {
                **dict.fromkeys(("version", "cuda", "hip"), if_so(text(80))),
                "cudnn": if_so(number),
                "arch_list": if_so(listed(text(80))),
            },
        )
    ),
    "driver": if_so(
        table(
            {},
            {
                **dict.fromkeys(("version", "installed", "cuda_api"), if_so(text(80))),
                "cuinit": if_so(number),
                "libcuda_path": if_so(text()),
            },
        )
    ),
    "devices": if_so(
        listed(
            table(
                {},
                {
                    **dict.fromkeys(("uuid", "name", "capability", "error", "conv_error"), if_so(said())),
                    **dict.fromkeys(("memory_total_mib", "memory_free_mib", "max_abs_err"), if_so(number)),
                    "kernel_ok": if_so(flag),
                },
            ),
            64,
        )
    ),
    "runtime": if_so(
        table(
            {},
            {
                **dict.fromkeys(("uid", "shm_bytes"), if_so(number)),
                **dict.fromkeys(("arch", "python"), if_so(text())),
                "device_nodes": if_so(listed(text())),
                "environment": if_so(mapped(said())),
            },
        )
    ),
    "warnings": if_so(listed(said(), 64)),
    "target": text(),
}
_VERDICT = table(_JUDGED, _SEEN)
_ACTION = one_of("keep", "create", "recreate", "replace", "scale", "remove")
_SERVICE = table(
    {
        **{"stack": NAME, "service": NAME, "action": _ACTION, "why": said(), "drain": said()},
        **{"torch": maybe(_VERDICT), "seconds": number, "gap": maybe(number)},
    },
    {"restarts": number},
)
_TIMES = {
    "phases": listed(
        table(
            {"phase": NAME, "service": _NO_NAME, "from": number, "to": maybe(number), "good": flag},
            {"detail": said()},
        ),
        8 * MANY,
    ),
    "clock": number,
}
_STABLE = table(
    {
        **{"name": NAME, "release": NAME, "run": _RUN, "seq": number, "at": text(64)},
        "action": one_of("rollout", "rollback"),
    }
)
_ENTRY = table(
    {"event": NAME, "run": _RUN},
    {
        "seq": number,
        **dict.fromkeys(("name", "release", "stack", "service", "keeper", "by", "action", "job", "kept"), _NO_NAME),
        **dict.fromkeys(("at", "boot"), text(64)),
        **dict.fromkeys(("timeout", "clock"), number),
        "seconds": mapped(number, NAME),
        "behind": listed(text()),
        "fault": said(),
    },
)
_LEDGER = table(
    {
        **dict.fromkeys(("stable", "previous"), maybe(_STABLE)),
        **dict.fromkeys(("history", "known", "confirmed"), listed(_STABLE, 2**14)),
        **dict.fromkeys(("interrupted", "closed"), maybe(_ENTRY)),
        "behind": listed(text()),
        "torn": flag,
        "lost": number,
    },
    # Of a status.
    {"gone": listed(NAME, 2**14), "backups": listed(job_answers.BACKUP, 2**14), "barred": maybe(_ENTRY)},
)
_VARIANTS = mapped(said(), NAME)
_HOST = {
    "variants": _VARIANTS,
    "engine": table(dict.fromkeys(("engine", "arch", "id", "data"), text()), {"compose": text()}),
    "boot": text(64),
    "ledger": _LEDGER,
    "lock": maybe(
        table({"run": _RUN, "who": text(), "machine": text(), "process": text(64), "quiet": number, "expires_in": number})
    ),
    "guard": maybe(
        table(
            {
                **{"run": _RUN, "fires_in": number, "alive": flag, "keeper": text(64)},
                **{"stuck": said(), "waits_for": said(), "waits_s": number},
            }
        )
    ),
    "keeper": text(64),
}
_CHANGED = {"changed": flag}
_PREVIEW = table(
    {
        "action": one_of("rollout", "rollback"),
        "run": _RUN,
        "release": NAME,
        "stable": _NO_NAME,
        "name": NAME,
        "stable_name": _NO_NAME,
        "variants": _VARIANTS,
        "services": listed(
            table(
                {
                    **{"stack": NAME, "service": NAME, "action": _ACTION, "why": said(), "gap": maybe(number)},
                    **dict.fromkeys(("old", "new"), maybe(text(100))),
                },
                {"restarts": number},
            )
        ),
        "to_pull": number,
        "free": maybe(number),
        "settled": flag,
        "left": mapped(NAME, NAME),
        **dict.fromkeys(("variables", "barred"), listed(NAME)),
        "notes": listed(said()),
    },
    job_answers.AHEAD,
)
_DIFF = dict.fromkeys(("before_header", "after_header", "before", "after"), said(2**20))
# A failure's sentence, and the facts behind it.
_FAILED = table(
    {"msg": said(TEXT)},
    {
        **dict.fromkeys(("service", "stack", "gate", "release"), NAME),
        **dict.fromkeys(("log", "unproven", "exception", "module_stdout", "module_stderr"), said(TEXT)),
        "fenced": one_of("run", "guard"),
        # The engine did not answer; a release's files are damaged.
        **{"away": flag, "damaged": flag},
        **job_answers.FAILED,
        # Of a gate of the stable release that no run has begun to leave; of a service that crashed, how often.
        "idle": flag,
        "restarts": number,
        "holder": _RUN,
        "torch": if_so(_VERDICT),
        **_TIMES,
    },
)
_WARNINGS = {"torch_warnings": if_so(listed(said(), 64))}
_FAILED_CHECK = table({"msg": said(TEXT)}, {**_JUDGED, **_SEEN, **_WARNINGS, "exception": said(TEXT)})
_DRILLED = table(
    {
        **_CHANGED,
        "release": NAME,
        "rows": listed(
            table(
                {
                    **{"what": NAME, "stack": _NO_NAME, "service": _NO_NAME, "state": one_of("proven", "untried", "failed")},
                    **{"found": said(TEXT), "log": said(TEXT), "seconds": number},
                }
            )
        ),
    },
    _TIMES,
)
_STAGED = {**_CHANGED, "name": NAME, "to_pull": number, "ready": flag}
_REHEARSED = listed(table({"stack": NAME, "service": NAME, "seconds": number}))
_STAGED_MORE = {"pulled": number, "torch": mapped(_VERDICT), "diff": listed(table(_DIFF)), "rehearsed": _REHEARSED, **_TIMES}
# The release that records an adopted project.
_STAGED_MORE["adopted"] = maybe(_STABLE)
_NAMES = mapped(listed(text()), one_of(*removal.KINDS))
ANSWERS: dict[str, Take] = {
    # Of a door that starts no agent; `step_action.REFUSED` has its words.
    "door": table(
        {"refused": one_of("old", "module", "memfd")},
        dict.fromkeys(("python", "module"), said()),
    ),
    "lock held": table({**_CHANGED, "taken_over": text()}),
    # With `observe`.
    "lock observed": table({**_CHANGED, "taken_over": text(), "host": table(_HOST)}),
    "lock renewed": table(_CHANGED),
    "lock released": table({**_CHANGED, "released": text()}),
    "release read": table(
        {
            **_CHANGED,
            "stacks": mapped(
                table(
                    {
                        "images": mapped(text(300), NAME),
                        "mounts": listed(
                            table(
                                {
                                    "kind": one_of("bind", "config", "secret", "volume"),
                                    "service": NAME,
                                    **dict.fromkeys(("path", "target"), text()),
                                    "read_only": flag,
                                }
                            )
                        ),
                        "warnings": listed(said()),
                    }
                ),
                NAME,
            ),
            "here": listed(text(300)),
        }
    ),
    "release staged": table(_STAGED, _STAGED_MORE),
    # In check mode.
    "release previewed": table({**_STAGED, "preview": _PREVIEW}, _STAGED_MORE),
    "release proven": table({**_CHANGED, "services": listed(_SERVICE)}, {"unlocked": flag, **_TIMES}),
    "release stable": table(
        {**_CHANGED, "removed": listed(NAME), "left": listed(said())},
        {"services": listed(_SERVICE), "unlocked": flag, **_TIMES},
    ),
    "release abandoned": table(_CHANGED),
    "stack present": table({**_CHANGED, "services": listed(_SERVICE)}, _TIMES),
    "stack absent": table({**_CHANGED, "services": listed(_SERVICE)}, _TIMES),
    **{f"job {state}": table({**_CHANGED, **done}, _TIMES) for state, done in job_answers.DONE.items()},
    "backup taken": table({**_CHANGED, "backups": listed(job_answers.BACKUP)}, _TIMES),
    **dict.fromkeys(("drill proven", "drill restored"), _DRILLED),
    "rollout_host_info": table(
        {
            **_CHANGED,
            **_HOST,
            "services": listed(
                table(
                    {
                        **dict.fromkeys(("stack", "service"), _ROW),
                        **dict.fromkeys(("digest", "health", "since", "torch", "release"), said()),
                        "verdict": maybe(_VERDICT),
                        "restarts": number,
                        "log": said(TEXT),
                        "drift": listed(said(TEXT)),
                    }
                )
            ),
        },
        job_answers.RUNS,
    ),
    "compose_project_info": table({**_CHANGED, **running_projects.ANSWER}),
    "torch_check": table({**_CHANGED, **_JUDGED}, {**_SEEN, **_WARNINGS}),
    "application": table({**_CHANGED, "gone": _NAMES, "stays": _NAMES, "by_hand": listed(text())}, {"diff": table(_DIFF)}),
    "metrics_file": table({**_CHANGED, "path": text()}),
    "notification": table({**_CHANGED, "sent": number, "unsent": listed(said())}),
}
PROGRESS = table(
    {"run": _RUN, "step": NAME},
    {
        **dict.fromkeys(("what", "waiting_for"), said()),
        **dict.fromkeys(("done", "total"), maybe(number)),
        **dict.fromkeys(("elapsed", "deadline"), number),
    },
)


def name(step: str, params: Mapping[str, Any], check: bool) -> str:
    """The key of `ANSWERS` for a step with these parameters."""
    state = str(params["state"])
    if check and state == "staged":
        state = "previewed"
    return f"{step} {'observed' if state == 'held' and params['observe'] else state}"


def progress(told: str) -> dict[str, Any]:
    """The progress of a host's step, from its `progress.json`; empty if there is none yet.

    It is one short line; a longer one is none.

    Raises:
        WrongError: that is not what `PROGRESS` declares.
    """
    return dict(shown(PROGRESS(read(told[:TEXT].splitlines()), ""), str)) if told else {}


def taken(step: str, answer: Mapping[str, Any], hide: Callable[[str], str] = str) -> dict[str, Any]:
    """The part of an answer that is believed: a failure's sentence with its facts, otherwise the keys that the step declares.

    Args:
        step: a key of `ANSWERS`.
        hide: hides secrets in a text that somebody wrote. In a name it hides none: a secret may be a common word.

    Returns:
        The declared keys; a failure that says what is wrong if one of them is not what it should be.
    """
    try:
        if answer.get("failed"):
            failure = _FAILED_CHECK if step == "torch_check" else _FAILED
            return {"failed": True, **shown(failure({"msg": "", **answer}, "its failure"), hide)}
        return dict(shown(ANSWERS[step](answer, "its answer"), hide))
    except WrongError as error:
        return {"failed": True, "msg": FOREIGN.text(step=step.partition(" ")[0], fault=hide(str(error)))}
