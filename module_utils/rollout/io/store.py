"""The state directory of a host: its releases and its ledger."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional

from ansible.module_utils.rollout.domain import haproxy
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.io import clock, machine, mutexes, ownership, refusals, reserve, scratch
from ansible.module_utils.rollout.io.atomic import append, sync_directory, write_atomic
from ansible.module_utils.rollout.io.releases import Releases

if TYPE_CHECKING:
    from ansible.module_utils.rollout.domain.compose import Service


# Path -> bytes read, up to the end of a line; the last of them, by which the file is known again; and what they said.
_LEDGERS: dict[Path, tuple[int, bytes, ledgers.Ledger]] = {}
_NOTHING = (0, b"", ledgers.Ledger())
_LAST = 512


class Store(Releases):
    """The state directory of one application on one host.

    Beside its `Releases`: ``ledger.jsonl``, ``lock.json`` (who is at work), ``progress.json`` (at what, while it is), ``proxy/``
    (what HAProxy reads), ``reserve`` (room on the disk), ``guard.pyz`` and, while a guard is armed, ``guard.armed``. Mutexes: one
    step at a time holds ``.step``, a living guard ``.guard``, a change of the lock ``.lock``.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
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
            back = self._back or event in ("reverted", "stuck", "ended", "barred")
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
            scratch.sweep(self.root)
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

        A failure to write it does not fail the step.
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
            fault = str((ledger.barred or ledger.closed or {}).get("fault") or "")
            facts = {"fenced": "guard", **({"unproven": fault} if fault else {})}
            if ledger.barred:
                raise refusals.GUARD_BARRED(facts=facts)
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

    def active(self, stack: str, services: Iterable[Service]) -> dict[str, tuple[str, ...]]:
        """Start-first service -> the names of the containers that its proxy sends requests to."""
        return {s.name: haproxy.active(self.servers(stack, s.name)) for s in services if s.start_first}

    def _servers(self, stack: str, service: str) -> Path:
        return self.root / "proxy" / f"{stack}.{service}.cfg"

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        """A directory for secrets, which is gone afterwards; also one that a killed process left."""
        scratch.sweep(self.root)
        with scratch.directory(self.root, name) as directory:
            yield directory

    @contextlib.contextmanager
    def aside(self) -> Iterator[Path]:
        """A directory for files that Compose reads before anything is written; gone afterwards. If there is no state yet, it lies
        among temporary files."""
        here = self.root if os.access(self.root, os.W_OK) else None
        with scratch.directory(here, scratch.READING) as directory:
            yield directory

    def sweep(self) -> None:
        """Remove what killed processes left of `temporary` and `aside`, unless a step is at work, which may be using it."""
        if scratch.left(self.root):
            with self.mutex(".step", 0) as alone:
                if alone:
                    scratch.sweep(self.root)
