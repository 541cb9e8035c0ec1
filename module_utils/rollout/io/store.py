"""The state directory of a host: its releases and its ledger."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional

from ansible.module_utils.rollout.domain import haproxy
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock, machine, mutexes, ownership, refusals, reserve
from ansible.module_utils.rollout.io.atomic import append, sha256, sync_directory, write_atomic

if TYPE_CHECKING:
    from ansible.module_utils.rollout.domain.compose import Service


# Path -> bytes read, up to the end of a line; the last of them, by which the file is known again; and what they said.
_LEDGERS: dict[Path, tuple[int, bytes, ledgers.Ledger]] = {}
_NOTHING = (0, b"", ledgers.Ledger())
_LAST = 512
# The directory of a login, while it is used.
LOGIN = "login"
# What a release.json says at least.
_MANIFEST = {"release": str, "name": str, "application": str, "images": dict, "stacks": list, "files": dict}


class Store:
    """The state directory of one application on one host.

    ``ledger.jsonl``, ``releases/<name>/``, ``lock.json`` (who is at work), ``progress.json`` (at what, while it is), ``proxy/``
    (what HAProxy reads), ``reserve`` (room on the disk), ``guard.pyz`` and, while a guard is armed, ``guard.armed``. Mutexes: one
    step at a time holds ``.step``, a living guard ``.guard``, a change of the lock ``.lock``.
    """

    def __init__(self, root: str) -> None:
        self.root = Path(os.path.expanduser(root))
        self.releases = self.root / "releases"
        self.path = self.root / "ledger.jsonl"
        self.lock_path = self.root / "lock.json"
        self.guard = self.root / "guard.pyz"
        self.armed = self.root / "guard.armed"
        self.progress = self.root / "progress.json"
        self._progress_aside = self.progress.with_suffix(".new")
        self._run: Optional[str] = None
        self._appending = threading.Lock()
        self._back = False
        self._halts: tuple[threading.Event, ...] = ()
        self._told = -1.0
        self._about: tuple[Any, Any] = (None, None)

    def require_writable(self) -> None:
        """Refuse before anything is touched where the state could not be kept.

        Raises:
            RolloutError: the directory is absent and cannot be made, or is not writable.
        """
        try:
            for directory in (*self.root.parents[::-1], self.root, self.releases):
                if not directory.exists():
                    directory.mkdir(mode=0o700, exist_ok=True)
            # Where the agents of runs listen (agent/door.py).
            os.close(os.open(self.root / ".agent", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise refusals.STATE_UNWRITABLE(path=self.root, reason=error.strerror) from error

    def require_own(self) -> None:
        """Refuse a state directory that somebody else could change, before anything in it is read or run.

        Raises:
            RolloutError: as `ownership.check` has it.
        """
        ownership.check(str(self.root))

    def ledger(self) -> ledgers.Ledger:
        """What the ledger says; an absent file is an empty ledger.

        Entries are never changed: what this process has read it does not read again, unless the file is another one now.
        """
        read, last, before = _LEDGERS.get(self.path, _NOTHING)
        try:
            with self.path.open("rb") as file:
                file.seek(read - len(last))
                if file.read(len(last)) != last:
                    read, last, before = _NOTHING
                    file.seek(0)
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return ledgers.Ledger()
        except PermissionError as error:
            raise refusals.LEDGER_UNREADABLE(path=self.path, reason=error.strerror) from error
        entries, torn = ledgers.parse(data.decode("utf-8", "replace"), before.last_seq)
        found = ledgers.fold(entries, torn, before)
        if data.endswith(b"\n"):
            _LEDGERS[self.path] = (read + len(data), (last + data)[-_LAST:], found)
        return found

    def append(self, event: str, run: str, **facts: Any) -> None:
        """Append one entry and wait until it is on the disk.

        Raises:
            RolloutError: it cannot be written, or the step's run no longer holds the lock.
        """
        with self._appending:
            self._append(event, run, facts)

    def _append(self, event: str, run: str, facts: dict[str, Any]) -> None:
        self.fence()
        entry = ledgers.line(self.ledger().last_seq + 1, event, run, machine.now(), **facts)
        try:
            back = self._back or event in ("reverted", "stuck", "ended")
            reserve.used(self.root, lambda: append(self.path, entry.encode()), back)
        except OSError as error:
            raise refusals.LEDGER_UNWRITABLE(path=self.path, reason=error.strerror) from error
        sync_directory(self.root)

    def go_back(self) -> None:
        """From now on what is written is part of the way back, for which room was set aside."""
        self._back = True

    @contextlib.contextmanager
    def mutex(self, name: str, wait: float, run: str = "") -> Iterator[bool]:
        """As `mutexes.hold` has it."""
        self.require_writable()
        with mutexes.hold(self.root / name, wait, run) as got:
            yield got

    @contextlib.contextmanager
    def step(self, run: str, wait: float = 180.0) -> Iterator[None]:
        """One step of a run on this host: alone, and only while the run holds the host's lock (I1).

        Raises:
            RolloutError: another step does not end, or the run holds the lock no longer. Fact ``fenced``: ``guard``
                where this host's guard has acted, otherwise ``run``; ``unproven``: which gate did not hold behind that guard.
        """
        with self.mutex(".step", wait, run) as got:
            if not got:
                raise refusals.STEP_BUSY(seconds=wait, path=shlex.quote(str(self.root / ".step")), facts={"fenced": "run"})
            self._sweep()
            self._run = run
            try:
                self.fence()
                yield
            finally:
                self._run = None
                self.forget_progress()

    def step_holder(self) -> Optional[mutexes.Holder]:
        """The step that is at work on this host, as `mutexes.holder` has it."""
        return mutexes.holder(self.root / ".step")

    def doing(self, run: str) -> str:
        """The last progress of a step of that run; empty if there is none."""
        try:
            facts = json.loads(self.progress.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return f"{facts.get('step', '')} {facts.get('what', '')}".strip() if facts.get("run") == run else ""

    def forget_progress(self) -> None:
        """Nothing is under way any more."""
        for file in (self.progress, self._progress_aside):
            with contextlib.suppress(OSError):
                file.unlink()

    def halting(self, halted: threading.Event) -> Store:
        """This one in the same step, for a part of it that is to end at its next `fence` once ``halted`` is set."""
        found = copy.copy(self)
        found._halts = (*self._halts, halted)
        return found

    def tell(self, **facts: Any) -> None:
        """Say what the present step is at, for whoever watches: what it turns to at once, how far it is twice a second at most.

        That it cannot be said is no reason to fail.
        """
        now, about = clock.monotonic(), (facts.get("step"), facts.get("what"))
        if self._run is None or (about == self._about and 0 <= now - self._told < 0.5):
            return
        self._told, self._about = now, about
        with contextlib.suppress(OSError):
            with open(os.open(self._progress_aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                # One that a killed step left has the mode that it had.
                os.fchmod(file.fileno(), 0o600)
                file.write(json.dumps({"run": self._run, **facts}))
            os.replace(self._progress_aside, self.progress)

    def fence(self, run: str = "") -> None:
        """Stop a step whose run lost the lock meanwhile: that of the present step, if any, or ``run``.

        Raises:
            RolloutError: says who has the lock. Fact ``fenced``, as `step` has it. Or another part of the step failed.
        """
        if any(halted.is_set() for halted in self._halts):
            raise refusals.OTHER_STACK_FAILED()
        run = run or self._run or ""
        found = self.lock() if run else None
        if not run or (found and found["run"] == run):
            return
        if found:
            raise refusals.LOCK_LOST(run=run, other=locks.who(found), facts={"fenced": "run"})
        ledger = self.ledger()
        ended = ledger.ended or {}
        if ledger.guarded and run in (ledger.guarded, ended.get("run")):
            fault = str((ledger.closed or {}).get("fault") or "")
            facts = {"fenced": "guard", **({"unproven": fault} if fault else {})}
            if ended.get("run") == run:
                raise refusals.GUARD_ENDED(step=ended.get("step") or "unnamed", process=ended.get("process"), facts=facts)
            raise refusals.GUARD_ACTED(facts=facts)
        raise refusals.LOCK_GONE(run=run, path=self.lock_path, facts={"fenced": "run"})

    def lock(self) -> Optional[dict[str, Any]]:
        """The lock of this host, or None.

        Raises:
            RolloutError: the file is not one that this tool wrote.
        """
        try:
            text = self.lock_path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refusals.LOCK_UNREADABLE(path=self.lock_path, reason=error.strerror) from error
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not locks.whole(found):
            raise refusals.LOCK_DAMAGED(path=self.lock_path)
        return dict(found)

    def write_lock(self, document: dict[str, Any]) -> None:
        """Write the lock, in one step. The caller holds the mutex ``.lock``."""
        write_atomic(self.lock_path, json.dumps(document, sort_keys=True) + "\n")

    def remove_lock(self) -> None:
        """Remove the lock, whoever holds it. The caller holds the mutex ``.lock``."""
        with contextlib.suppress(FileNotFoundError):
            self.lock_path.unlink()

    def write_guard(self, program: bytes) -> None:
        """Write the guard's program where it differs."""
        if not self.guard.exists() or self.guard.read_bytes() != program:
            write_atomic(self.guard, program)

    def trigger(self) -> None:
        """Let the guard's service start, now and after a reboot, until `untrigger`."""
        write_atomic(self.armed, "A guard is armed; the ledger says by which run.\n")

    def untrigger(self) -> None:
        """Nothing is armed any more."""
        with contextlib.suppress(FileNotFoundError):
            self.armed.unlink()

    def directory(self, name: str) -> Path:
        """The directory of the release of that name."""
        return self.releases / name

    def manifest(self, name: str) -> dict[str, Any]:
        """release.json of a release.

        Raises:
            RolloutError: it is gone or unreadable.
        """
        path = self.directory(name) / "release.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            lacks = [k for k, kind in _MANIFEST.items() if not isinstance(found, dict) or not isinstance(found.get(k), kind)]
            why = f"it lacks {', '.join(lacks)}" if lacks else ""
        except (OSError, ValueError) as error:
            why = str(error.strerror) if isinstance(error, OSError) else f"it is not JSON: {error}"
        if why:
            raise refusals.RELEASE_INCOMPLETE(name=name, path=path, reason=why)
        return dict(found)

    def servers(self, stack: str, service: str) -> Optional[str]:
        """The file that says to which container a start-first service's proxy sends requests; None where there is none."""
        try:
            return self._servers(stack, service).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write_servers(self, stack: str, service: str, text: str) -> None:
        """Write that file, in one step. The proxy's user reads it, so everybody may; nothing in it is secret."""
        self.fence()
        path = self._servers(stack, service)
        path.parent.mkdir(exist_ok=True)
        # Independent of the umask.
        path.parent.chmod(0o755)
        reserve.used(self.root, lambda: write_atomic(path, text, 0o644), self._back)

    def active(self, stack: str, services: Iterable[Service]) -> dict[str, str]:
        """Start-first service -> the name of the container that its proxy sends requests to."""
        return {s.name: haproxy.active(self.servers(stack, s.name)) for s in services if s.start_first}

    def _servers(self, stack: str, service: str) -> Path:
        return self.root / "proxy" / f"{stack}.{service}.cfg"

    def names(self) -> list[str]:
        """The complete releases on this host."""
        try:
            # Without those that power loss left half-written or half-removed: their names begin with a dot.
            return sorted(p.name for p in self.releases.iterdir() if p.name[0] != "." and (p / "release.json").is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def whole(self) -> list[str]:
        """Those of `names` whose release.json can be read."""
        found = []
        for name in self.names():
            with contextlib.suppress(RolloutError):
                self.manifest(name)
                found.append(name)
        return found

    def taken(self) -> list[str]:
        """Names that no further release may have: damaged ones too, whose files may be somebody's."""
        try:
            return sorted(p.name for p in self.releases.iterdir() if p.name[0] != ".")
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str, file: str) -> Optional[str]:
        """The text of a release's file, or None where there is none."""
        try:
            # newline="": what is compared is what was written, carriage returns included. What is no UTF-8 was not.
            with open(self.directory(name) / file, encoding="utf-8", errors="replace", newline="") as handle:
                return handle.read()
        except FileNotFoundError:
            return None

    def edited(self, name: str) -> list[str]:
        """The files of a release that are no longer what was staged."""
        changed = []
        for file, digest in self.manifest(name).get("files", {}).items():
            text = self.read(name, file)
            if text is None or sha256(text) != digest:
                changed.append(file)
        return sorted(changed)

    def write_release(self, name: str, files: dict[str, str], manifest: dict[str, Any]) -> None:
        """Write a release directory, whole or not at all (built aside, then renamed)."""
        self.require_writable()
        for left in [*self.releases.glob(".*"), self.directory(name)]:
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(dir=self.releases, prefix=f".{name}."))
        try:
            for file, text in files.items():
                write_atomic(aside / file, text)
            document = dict(manifest, files={file: sha256(text) for file, text in files.items()})
            write_atomic(aside / "release.json", json.dumps(document, indent=2, sort_keys=True) + "\n")
            os.replace(aside, self.directory(name))
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise refusals.RELEASE_UNWRITABLE(name=name, path=self.releases, reason=error.strerror) from error
        sync_directory(self.releases)

    def foreign(self, name: str) -> list[str]:
        """What is in a release's directory and was not written with it: perhaps data, of a mount with a relative path."""
        return sorted({path.name for path in self.directory(name).iterdir()} - {*self.manifest(name)["files"], "release.json"})

    def remove(self, name: str) -> None:
        """Remove a release directory: gone at once from `names`, then from the disk."""
        aside = self.releases / f".{name}.removed"
        os.replace(self.directory(name), aside)
        shutil.rmtree(aside)

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        """A directory for secrets, which is gone afterwards; also one that a killed process left."""
        self._sweep()
        with tempfile.TemporaryDirectory(dir=self.root, prefix=f".{name}.") as directory:
            yield Path(directory)

    def sweep(self) -> None:
        """Remove what killed processes left of `temporary`, unless a step is at work, which may be using it."""
        if any(self.root.glob(f".{LOGIN}.*")):
            with self.mutex(".step", 0) as alone:
                if alone:
                    self._sweep()

    def _sweep(self) -> None:
        for left in self.root.glob(f".{LOGIN}.*"):
            shutil.rmtree(left, ignore_errors=True)
