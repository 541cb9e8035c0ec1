"""The part of a host's answers that tells of jobs, and of what is stopped and saved for them. Pure; see `answers`."""

from __future__ import annotations

from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.foreign import (
    TEXT,
    flag,
    listed,
    matching,
    maybe,
    number,
    one_of,
    or_none,
    said,
    table,
    text,
)

_NAME = matching(releases.NAME, "a name of letters, digits, '_', '.' and '-'")
_QUIET = listed(table({"stack": _NAME, "service": _NAME}))
# Backups that are restored, or were, and those that were taken first; ``age`` in seconds.
_BROUGHT = listed(table({"backup": _NAME, "stack": _NAME, "service": _NAME, "at": said(64), "bytes": number, "age": number}))
# Of a preview: the jobs that the host is going to run, what is backed up before them, the services that stop meanwhile, and the
# backups that are brought back.
AHEAD = {
    "jobs": listed(
        table(
            {
                **{"stack": _NAME, "job": _NAME, "when": one_of("before", "after"), "compatible": flag},
                **{"deadline": number, "why": said()},
            },
            {"took": number, "done": flag},
        )
    ),
    "backups": listed(
        table({"stack": _NAME, "service": _NAME, "when": one_of("job", "always")}, {"bytes": maybe(number), "how": said()})
    ),
    "quiet": _QUIET,
    "restore": _BROUGHT,
}
_JOBS = {"jobs": listed(table({"stack": _NAME, "job": _NAME, "code": number, "seconds": number, "log": said(TEXT)}))}
# A backup that was taken, or would be. Its file is a name and no path: it is copied to other hosts under it.
BACKUP = table(
    {"stack": _NAME, "service": _NAME, "bytes": number},
    {
        **dict.fromkeys(("backup", "file", "sha256"), _NAME),
        **dict.fromkeys(("seconds", "seq"), number),
        **dict.fromkeys(("release", "name"), or_none(_NAME)),
        **dict.fromkeys(("at", "why", "fault"), said()),
    },
)
# State of the step `job` -> what it answers beside `changed`.
DONE = {
    "quiesced": {"quiet": _QUIET},
    "restored": {"restored": _BROUGHT, "backups": _BROUGHT},
    "saved": {"backups": listed(BACKUP)},
    **{"before": _JOBS, "still": {}, "passed": {}, "after": _JOBS},
    "back": {"restored": _BROUGHT},
}
# Of a preparation that failed: what was begun, and the backups that its run took.
FAILED = {"begun": one_of("", "quiet", "job"), "saved": listed(_NAME)}
# Of a status: the last run of each job.
RUNS = {
    "jobs": listed(
        table(
            {
                **{"stack": _NAME, "job": _NAME, "release": or_none(_NAME), "at": text(64)},
                **dict.fromkeys(("code", "seconds"), maybe(number)),
            }
        )
    )
}
