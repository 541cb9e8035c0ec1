"""Backups whose commands nobody has to write: what saves and restores the data of well-known images. Pure.

A preset is three scripts for the shell of the service's image. ``dump`` writes to its standard output; ``verify`` and ``restore``
read that from their standard input; ``undo`` takes back a restore that failed. Passwords come from the container's own
environment: none is in an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Collection, Mapping, Sequence

from ansible.module_utils.rollout.domain import compose, data
from ansible.module_utils.rollout.domain.backup import ALWAYS, JOB, Backup
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.data import Entry
from ansible.module_utils.rollout.domain.ledger import Ledger
from ansible.module_utils.rollout.errors import Refusal

_SECTION = "Backups"
NO_PRESET = Refusal(
    _SECTION,
    "{file}: x-rollout.{service}.backup names neither commands nor a preset, and none is known for image {image}. Write preset: "
    "volume (the service is stopped while its volumes are saved), or dump and restore, commands in the container.",
    "write `preset: postgres`, `mariadb` or `volume`, or `dump` and `restore`",
)
HALF = Refusal(
    _SECTION,
    "{file}: x-rollout.{service}.backup has {has} without {lacks}. Nothing that was saved could be restored. Write both, or a "
    "preset.",
    "write both `dump` and `restore`, or a `preset` instead",
)
NOT_KEPT = Refusal(
    _SECTION,
    "{file}: x-rollout.{service} has backup, but the service is not kept: a rollout replaces its container. Write keep: true "
    "beside it, or remove backup.",
    "write `keep: true` beside `backup`; only the data of kept services is backed up",
)
# By the last part of the image's name.
_IMAGES = {
    "postgres": r"(?:.*/)?(?:postgres|postgresql|postgis|pgvector|pgvecto-rs|v(?:ector)?chord-postgres)",
    "mariadb": r"(?:.*/)?(?:mariadb|mysql|mysql-server|percona|percona-server)",
    # A database with this extension is restored by steps of its own; its files are right for certain.
    "volume": r"(?:.*/)?(?:timescaledb(?:-ha)?|redis|valkey|sqlite|influxdb|qdrant|meilisearch|grafana)",
}

# `theirs` leaves out the databases that a restore has moved aside (old) or replaced (gone), and those that accept no connection:
# they cannot be dumped, so a restore must not replace them.
_POSTGRES = r"""
set -eu
[ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
export PGUSER="${PGUSER:-${POSTGRES_USER:-postgres}}" PGPASSWORD="${PGPASSWORD:-${POSTGRES_PASSWORD:-}}" PGDATABASE=template1
export PGOPTIONS='-c client_min_messages=warning'
ask() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
theirs="NOT datistemplate AND datallowconn AND datname NOT LIKE 'rollout\_old\_%' AND datname NOT LIKE 'rollout\_gone\_%'"
"""
_POSTGRES_DUMP = r"""
long=$(ask -c "SELECT datname FROM pg_database WHERE $theirs AND octet_length(datname) > 50")
[ -z "$long" ] || { echo "a restore cannot move database $long aside: its name has over 50 bytes" >&2; exit 1; }
roles=$(pg_dumpall --roles-only)
echo '-- rollout: backup of postgres'
printf '%s\n' "$roles" | sed 's/^CREATE ROLE .*;$/DO $rollout$BEGIN & EXCEPTION WHEN duplicate_object THEN NULL; END$rollout$;/'
for oid in $(ask -c "SELECT oid FROM pg_database WHERE $theirs ORDER BY oid"); do
  name=$(ask -c "SELECT datname FROM pg_database WHERE oid = $oid")
  hyper=$(PGDATABASE="$name" ask -c "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
  [ -z "$hyper" ] || { echo "database $name has the extension timescaledb: use preset: volume" >&2; exit 1; }
  printf '%s\n' '\connect template1'
  PGDATABASE="$name" pg_dump --create
done
printf '%s\n' '\echo rollout: complete'
echo '-- rollout: complete'
"""
_POSTGRES_UNDO = r"""
ask -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()" > /dev/null
if [ -n "$(ask -c "SELECT 1 FROM pg_database WHERE datname LIKE 'rollout\_old\_%' LIMIT 1")" ]; then
  ask <<SQL
SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE $theirs \gexec
BEGIN;
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, substr(datname, 13)) FROM pg_database
WHERE datname LIKE 'rollout\\_old\\_%' \gexec
COMMIT;
SQL
fi
"""
_POSTGRES_GONE = r"""
ask <<SQL
SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname LIKE 'rollout\\_gone\\_%' \gexec
SQL
"""
_POSTGRES_RESTORE = r"""
ask <<SQL
BEGIN;
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, 'rollout_old_' || datname) FROM pg_database WHERE $theirs \gexec
COMMIT;
SQL
said=$(psql -Xq -o /dev/null -v ON_ERROR_STOP=1 -f - | tail -n 1)
[ "$said" = 'rollout: complete' ] || { echo "it ends before its last line, or a statement failed" >&2; exit 1; }
ask <<SQL
BEGIN;
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, 'rollout_gone_' || substr(datname, 13)) FROM pg_database
WHERE datname LIKE 'rollout\\_old\\_%' \gexec
COMMIT;
SQL
"""
_MARIADB = r"""
set -eu
for name in MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD; do
  eval "file=\${${name}_FILE:-} word=\${$name:-}"
  [ -z "$file" ] || word=$(cat "$file")
  [ -z "$word" ] || export MYSQL_PWD="$word"
done
client=$(command -v mariadb || command -v mysql)
ask() { "$client" --user=root --batch --skip-column-names "$@"; }
theirs="schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
quoted="CONCAT('\`', REPLACE(schema_name, '\`', '\`\`'), '\`')"
"""
_MARIADB_DUMP = r"""
dump=$(command -v mariadb-dump || command -v mysqldump)
echo '-- rollout: backup of mariadb'
if "$dump" --help | grep -q -- '--system='; then "$dump" --user=root --system=users --insert-ignore; fi
for hex in $(ask -e "SELECT HEX(schema_name) FROM information_schema.schemata WHERE $theirs"); do
  set -- "$@" "$(ask -e "SELECT schema_name FROM information_schema.schemata WHERE HEX(schema_name) = '$hex'")"
done
[ $# -eq 0 ] || "$dump" --user=root --single-transaction --quick --routines --events --triggers --hex-blob --databases -- "$@"
echo "SELECT 'rollout: complete';"
echo '-- rollout: complete'
"""
_MARIADB_RESTORE = r"""
others=$(ask -e "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE id <> CONNECTION_ID()
  AND command <> 'Daemon' AND user NOT IN ('system user', 'event_scheduler')")
# One may have ended since.
[ -z "$others" ] || ask --force -e "$others" 2> /dev/null || true
ask -e "SELECT CONCAT('DROP DATABASE ', $quoted, ';') FROM information_schema.schemata WHERE $theirs" | ask
said=$(ask | tail -n 1)
[ "$said" = 'rollout: complete' ] || { echo "it ends before its last line, or a statement failed" >&2; exit 1; }
ask -e 'FLUSH PRIVILEGES'
"""
_VOLUME = r"""
set -eu
for tool in tar find; do
  command -v "$tool" > /dev/null || { echo "its image has no program $tool" >&2; exit 1; }
done
[ $# -gt 0 ] || { echo "it has no volume, and no folder of the host that it may write" >&2; exit 1; }
"""
_FOLDERS = r"""
while read -r _ _ _ _ at _; do
  for place; do
    case $at in "/$place" | "/$place"/*)
      [ -d "$at" ] || { echo "file $at is mounted alone: a restore could not replace it" >&2; exit 1; } ;;
    esac
  done
done < /proc/self/mountinfo
"""
# A folder in which another one of the service's volumes lies cannot be removed.
_EMPTY = r"""
for place; do
  find "/$place" -mindepth 1 ! -type d -delete
  find "/$place" -mindepth 1 -depth -type d -exec rmdir {} + 2> /dev/null || true
done
"""
_LINE = '[ "$(tail -n 1)" = "-- rollout: complete" ] || { echo "it ends before its last line" >&2; exit 1; }'


@dataclass(frozen=True)
class Commands:
    """What saves the data of a service and brings it back: words of commands, run in its container.

    If ``stopped``, they run in a container of the same image beside it, which has its data, while it is stopped; the folders of
    these are then added to ``dump`` and ``restore``. ``packed`` backups are compressed. ``undo`` takes back a ``restore`` that
    failed or was killed; empty if it has to be done again. ``ext`` ends the name of a backup's file;
    ``deadline`` are the seconds that each command may take.
    """

    dump: tuple[str, ...]
    restore: tuple[str, ...]
    verify: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    size: tuple[str, ...] = ()
    stopped: bool = False
    packed: bool = False
    ext: str = "dump"
    deadline: float = 1800.0


def _shell(*parts: str) -> tuple[str, ...]:
    return ("sh", "-c", "".join(parts), "backup")


PRESETS: dict[str, Commands] = {
    "postgres": Commands(
        dump=_shell(_POSTGRES, _POSTGRES_DUMP),
        restore=_shell(_POSTGRES, _POSTGRES_UNDO, _POSTGRES_GONE, _POSTGRES_RESTORE, _POSTGRES_GONE),
        verify=_shell(_LINE),
        undo=_shell(_POSTGRES, _POSTGRES_UNDO),
        size=_shell(_POSTGRES, 'ask -c "SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database WHERE $theirs"'),
        packed=True,
        ext="sql.gz",
    ),
    "mariadb": Commands(
        dump=_shell(_MARIADB, _MARIADB_DUMP),
        restore=_shell(_MARIADB, _MARIADB_RESTORE),
        verify=_shell(_LINE),
        size=_shell(
            _MARIADB,
            'ask -e "SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables',
            ' WHERE table_schema${theirs#schema_name}"',
        ),
        packed=True,
        ext="sql.gz",
    ),
    "volume": Commands(
        dump=_shell(_VOLUME, _FOLDERS, 'tar --numeric-owner -C / -cf - "$@"'),
        restore=_shell(_VOLUME, _FOLDERS, _EMPTY, "tar --numeric-owner -C / -xpf -"),
        verify=_shell("tar -tf - > /dev/null"),
        size=_shell(
            _VOLUME, 'cd /\ndu -sk "$@" | { all=0; while read -r kib rest; do all=$((all + kib)); done; echo $((all * 1024)); }'
        ),
        stopped=True,
        packed=True,
        ext="tar.gz",
    ),
}


def preset(service: Service) -> str:
    """The preset of a service that has a backup: as its key says, or as its image is known; empty if it has commands of its own,
    or none is known."""
    backup = service.backup or Backup()
    if backup.preset or backup.dump or backup.restore:
        return backup.preset
    name = compose.repository(service.image)
    return next((preset for preset, pattern in _IMAGES.items() if re.fullmatch(pattern, name)), "")


def commands(service: Service) -> Commands:
    """What saves the data of a service and brings it back: its own commands, which go before those of its preset."""
    backup, known = service.backup or Backup(), PRESETS.get(preset(service))
    if backup.dump or not known:
        return Commands(backup.dump, backup.restore, backup.verify, deadline=backup.deadline)
    return replace(known, deadline=backup.deadline)


def recorded(service: Service) -> dict[str, Any]:
    """What a ledger must know in order to restore a backup of that service (`restoring` reads it)."""
    backup, known = service.backup or Backup(), preset(service)
    own = {"restore": [*backup.restore], "verify": [*backup.verify]}
    return {"deadline": backup.deadline, **({"preset": known} if known and not backup.dump else own)}


def restoring(how: Mapping[str, Any]) -> Commands:
    """What brings back a backup, by what `recorded` said of it."""
    if how.get("preset"):
        return replace(PRESETS[str(how["preset"])], deadline=how["deadline"])
    return Commands((), tuple(how["restore"]), tuple(how["verify"]), deadline=how["deadline"])


def faults(file: str, services: Sequence[Service]) -> list[str]:
    """A sentence for each backup that could not be taken or restored, by what the file says of it."""
    found = []
    for service in services:
        backup = service.backup
        if not backup:
            continue
        if service.released or service.job:
            found.append(NOT_KEPT.text(file=file, service=service.name))
        if bool(backup.dump) != bool(backup.restore):
            has, lacks = ("dump", "restore") if backup.dump else ("restore", "dump")
            found.append(HALF.text(file=file, service=service.name, has=has, lacks=lacks))
        elif not backup.dump and not preset(service):
            found.append(NO_PRESET.text(file=file, service=service.name, image=service.image))
    return found


def mounted(mounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The mounts that hold a container's data, as `docker run --mount` takes them: its volumes, and what it may write of the
    host. Without the others: a folder in which one of them lies could not be emptied.

    Args:
        mounts: as `docker inspect` has them.
    """
    return [
        ",".join(f'"{key}={value}"' for key, value in (("type", one["Type"]), ("source", source), ("target", one["Destination"])))
        for one in _data(mounts)
        for source in (one["Name"] if one["Type"] == "volume" else one["Source"],)
    ]


def places(mounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The folders of these mounts, without the first slash."""
    found = [str(mount["Destination"]) for mount in _data(mounts)]
    # What lies in another one of them is in that.
    return sorted(place.strip("/") for place in found if not any(place.startswith(f"{other}/") for other in found))


def _data(mounts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    writable = [mount for mount in mounts if mount.get("RW")]
    return [m for m in writable if m.get("Type") == "volume" or (m.get("Type") == "bind" and _is_data(str(m["Source"])))]


def _is_data(source: str) -> bool:
    """Whether a path of the host holds data of an application, and not the host itself."""
    return not re.fullmatch(
        r"/|/(?:dev|proc|sys|run|boot|etc)(?:/.*)?|/var/run(?:/.*)?|.*\.sock|/tmp|/var|/home|/root|/usr(?:/.*)?", source
    )


def outdated(ledger: Ledger, stack: str, service: str, keep: int, names: Collection[str]) -> list[Entry]:
    """The backups of a service that nothing needs any more: beyond the ``keep`` newest, not of the open run, and none that a
    rollback to a release in ``names`` (directories) would restore."""
    there = [e for e in data.backups(ledger) if (e["stack"], e["service"]) == (stack, service)]
    closed = int((ledger.closed or {}).get("seq") or 0)
    targets = [stable for stable in ledger.known if stable.name in names]
    needed = {entry["seq"] for target in targets for entry in data.to_restore(ledger, target).values() if entry}
    return [entry for entry in there[:-keep] if entry["seq"] not in needed and (not ledger.open or entry["seq"] <= closed)]


def due(services: Mapping[str, Sequence[Service]], jobs: bool) -> list[tuple[str, Service]]:
    """The services whose data is saved before a release is switched to, each with its stack.

    Args:
        services: stack -> its services.
        jobs: whether a job of the release runs before anything is switched.
    """
    when = (ALWAYS, JOB) if jobs else (ALWAYS,)
    return [(stack, one) for stack, some in services.items() for one in some if one.backup and one.backup.when in when]
