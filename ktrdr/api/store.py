"""What the backend keeps: workers and operations, in PostgreSQL or SQLite. A change is one transaction."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import IntegrityError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from ktrdr import migrations
from ktrdr.api.watch import LOST, Watch
from ktrdr.operations import Held, Json, Registration, State, Submission

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2
# A database whose machine vanished without a word is given up after 5 s, not after TCP's quarter of an hour.
NETWORK = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 2,
}


class DatabaseError(Exception):
    """The database cannot be used now; says why, without secrets."""


class NotFoundError(Exception):
    """There is no such worker or operation."""


class ConflictError(Exception):
    """The request contradicts what is stored."""


class Base(DeclarativeBase):
    """The tables, which `ktrdr.migrations` makes."""


class Worker(Base):
    """A worker that registered and has not said goodbye."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    release: Mapped[str] = mapped_column(sa.Text)
    capabilities: Mapped[list[str]] = mapped_column(sa.JSON)
    device: Mapped[str] = mapped_column(sa.Text)
    draining: Mapped[bool] = mapped_column(sa.Boolean, default=False)
    beats: Mapped[int] = mapped_column(sa.Integer, default=0)


class Operation(Base):
    """A backtest or a training.

    `attempt` counts its claims: what an earlier claim says no longer counts. `losses` counts those that ended in a worker
    which was gone without a word (None: none).
    """

    __tablename__ = "operations"
    number: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(sa.String(200), unique=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    params: Mapped[Json] = mapped_column(sa.JSON)
    state: Mapped[str] = mapped_column(sa.String(20), default=State.QUEUED, index=True)
    worker: Mapped[str | None] = mapped_column(sa.String(200), default=None)
    attempt: Mapped[int] = mapped_column(sa.Integer, default=0)
    checkpoint: Mapped[Json | None] = mapped_column(sa.JSON(none_as_null=True), default=None)
    result: Mapped[Json | None] = mapped_column(sa.JSON(none_as_null=True), default=None)
    error: Mapped[str | None] = mapped_column(sa.Text, default=None)
    losses: Mapped[int | None] = mapped_column(sa.Integer, default=None)


class Store:
    """The database, reached on first use and again after it was away.

    An operation that has lost `max_losses` workers fails: it may be what kills them. `migrate` makes the tables at first use;
    otherwise a job has. `read_only` is for a rehearsal, before that job: nothing is written, and tables are not asked for.
    Methods raise DatabaseError, NotFoundError or ConflictError, and block for as long as the database does.
    """

    def __init__(self, url: URL, watch: Watch, max_losses: int, migrate: bool = False, read_only: bool = False) -> None:
        self._watch, self._max_losses, self._read_only = watch, max_losses, read_only
        self._migrate, self._migrated = migrate and not read_only, False
        self._engine = connect(url, read_only)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def check(self) -> None:
        """Reach the database, and in its tables every column that this release reads."""
        with self._transaction() as session:
            for what in (sa.select(1),) if self._read_only else (sa.select(Operation), sa.select(Worker)):
                session.execute(what.limit(1))

    def register(self, worker: Registration) -> None:
        """Note a worker that starts; what a predecessor of its name held is queued again."""
        facts = worker.model_dump(mode="json", exclude={"id"})
        with self._transaction() as session:
            try:
                with session.begin_nested():
                    session.add(Worker(id=worker.id, **facts))
            except IntegrityError:
                pass  # it was there
            self._lose(session, [worker.id])
            beats = _beat(session, worker.id, draining=False, **facts)
        self._watch.heard(worker.id, beats)
        log.info("worker %s registered: %s, release %s", worker.id, worker.kind, worker.release)

    def heartbeat(self, worker: str) -> None:
        """Count a sign of life."""
        self._watch.heard(worker)
        with self._transaction() as session:
            beats = _beat(session, worker)
            if beats is None:
                raise NotFoundError(f"worker {worker} is not registered")
        self._watch.heard(worker, beats)

    def drain(self, worker: str, draining: bool) -> Json:
        """Give a worker no further operation, or operations again; answers as `worker` does."""
        with self._transaction() as session:
            _worker(session, worker).draining = draining
        log.info("worker %s is %s", worker, "draining" if draining else "no longer draining")
        return self.worker(worker)

    def goodbye(self, worker: str) -> None:
        """Forget a worker and queue what it held. Nothing to do where it is not registered."""
        with self._transaction() as session:
            session.execute(sa.select(Worker.id).where(Worker.id == worker).with_for_update())
            _requeue(session, Operation.worker == worker)
            session.execute(sa.delete(Worker).where(Worker.id == worker))
        log.info("worker %s said goodbye", worker)

    def workers(self) -> list[Json]:
        """Every registered worker with its status and the operations that it runs, by name."""
        with self._transaction() as session:
            return [self._view(session, row) for row in session.scalars(sa.select(Worker).order_by(Worker.id))]

    def worker(self, worker: str) -> Json:
        """One registered worker, as in `workers`."""
        with self._transaction() as session:
            return self._view(session, _worker(session, worker))

    def submit(self, submission: Submission) -> Json:
        """Queue an operation; the one that is there already where its id was submitted before."""
        key = submission.id or uuid.uuid4().hex
        params = submission.params.model_dump()
        with self._transaction() as session:
            try:
                with session.begin_nested():
                    session.add(Operation(id=key, kind=submission.kind, params=params))
            except IntegrityError:
                pass  # submitted before
            stored = _operation(session, key)
            if (stored.kind, stored.params) != (submission.kind, params):
                raise ConflictError(f"operation {key} exists with other contents: {stored.kind} {stored.params}")
            return show(stored)

    def operations(self, state: State | None = None) -> list[Json]:
        """Every operation, or those of one state, in the order of their submission, without checkpoints."""
        query = sa.select(Operation).order_by(Operation.number)
        if state:
            query = query.where(Operation.state == state)
        with self._transaction() as session:
            return [{k: v for k, v in show(row).items() if k != "checkpoint"} for row in session.scalars(query)]

    def operation(self, key: str) -> Json:
        """One operation with its checkpoint."""
        with self._transaction() as session:
            return show(_operation(session, key))

    def claim(self, worker: str) -> Json | None:
        """The oldest operation that the worker can do, now its own, or None. A draining one gets no further one.

        What it holds already comes first: it did not get the answer to that claim. What lost workers hold is
        queued again before.
        """
        self._watch.heard(worker)
        with self._transaction() as session:
            # Locked, so that no goodbye of this worker slips in between.
            me = _worker(session, worker, lock=True)
            self._requeue_lost(session)
            mine = sa.and_(Operation.state == State.RUNNING, Operation.worker == worker)
            choice = mine if me.draining else sa.or_(mine, Operation.state == State.QUEUED)
            query = sa.select(Operation).where(Operation.kind.in_(me.capabilities), choice)
            query = query.order_by(sa.case((mine, 0), else_=1), Operation.number).limit(1)
            found = session.scalar(query.with_for_update(skip_locked=True))
            if found is None:
                return None
            found.state, found.worker, found.attempt = State.RUNNING, worker, found.attempt + 1
            taken = show(found)
        log.info("operation %s goes to worker %s, attempt %d", taken["id"], worker, taken["attempt"])
        return taken

    def checkpoint(self, key: str, held: Held, checkpoint: Json) -> Json:
        """Keep how far the holder has come."""
        return self._change(key, held, checkpoint=checkpoint)

    def release(self, key: str, held: Held, checkpoint: Json | None) -> Json:
        """Queue an operation that its holder gives back, with its last checkpoint where it sends one."""
        kept: Json = {} if checkpoint is None else {"checkpoint": checkpoint}
        return self._change(key, held, state=State.QUEUED, worker=None, **kept)

    def complete(self, key: str, held: Held, result: Json) -> Json:
        """Keep the result. The holder may say it again, to no effect; nobody else may."""
        return self._change(key, held, final=True, state=State.COMPLETED, result=result, checkpoint=None)

    def fail(self, key: str, held: Held, error: str) -> Json:
        """Keep why the operation cannot be done. The holder may say it again, to no effect."""
        return self._change(key, held, final=True, state=State.FAILED, error=error)

    def _change(self, key: str, held: Held, final: bool = False, **values: Any) -> Json:
        with self._transaction() as session:
            stored = _operation(session, key, lock=True)
            holds = (stored.worker, stored.attempt) == (held.worker, held.attempt)
            if final and holds and stored.state == values["state"]:
                return show(stored)
            if not holds or stored.state != State.RUNNING:
                owner = f" by {stored.worker}" if stored.worker else ""
                raise ConflictError(
                    f"operation {key} is {stored.state}{owner} (attempt {stored.attempt}), "
                    f"no longer held by {held.worker} (attempt {held.attempt})"
                )
            for name, value in values.items():
                setattr(stored, name, value)
            changed = show(stored)
        if "state" in values:
            log.info("operation %s of worker %s is %s", key, held.worker, changed["state"])
        return changed

    def _requeue_lost(self, session: Session) -> None:
        beaten = session.execute(sa.select(Worker.id, Worker.beats)).all()
        lost = [name for name, beats in beaten if self._watch.look(name, beats)[0] == LOST]
        if lost:
            self._lose(session, lost)

    def _lose(self, session: Session, workers: list[str]) -> None:
        """Queue what these workers ran when they went without a word; what has lost too many of them fails.

        A draining worker was about to be stopped: its end says nothing about its operation.
        """
        ran = sa.and_(Operation.state == State.RUNNING, Operation.worker.in_(workers))
        count = sa.update(Operation).where(ran, Operation.worker.in_(sa.select(Worker.id).where(Worker.draining.is_(False))))
        session.execute(count.values(losses=sa.func.coalesce(Operation.losses, 0) + 1))
        error = (
            f"given up: {self._max_losses} workers were lost while they ran it, so it may be what kills them (out of memory?). "
            "The last one is named here: look at its log, then submit the operation anew under another id."
        )
        fail = sa.update(Operation).where(ran, Operation.losses >= self._max_losses).values(state=State.FAILED, error=error)
        for key in session.scalars(fail.returning(Operation.id)):
            log.error("operation %s is %s", key, error)
        for key in _requeue(session, Operation.worker.in_(workers)):
            log.warning("operation %s is queued again: its worker is lost", key)

    def _view(self, session: Session, row: Worker) -> Json:
        status, silence = self._watch.look(row.id, row.beats)
        if status == "alive" and row.draining:
            status = "draining"
        running = sa.select(Operation.id).where(Operation.worker == row.id, Operation.state == State.RUNNING)
        return {
            "id": row.id,
            "status": status,
            "kind": row.kind,
            "release": row.release,
            "capabilities": row.capabilities,
            "device": row.device,
            "operations": list(session.scalars(running)),
            "silent_seconds": round(silence, 1),
        }

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            if self._migrate and not self._migrated:
                with self._engine.begin() as connection:
                    migrations.upgrade(connection)
                self._migrated = True
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (OperationalError, InterfaceError, InternalError, ProgrammingError, PoolTimeout) as error:
            # Perhaps another database comes back in its place, without tables.
            self._migrated = False
            # The driver's own words never hold the password; SQLAlchemy's hold statement and parameters.
            said = str(getattr(error, "orig", None) or error)
            raise DatabaseError(" ".join(said.split()) or type(error).__name__) from error


def show(row: Operation) -> Json:
    """An operation as the outside sees it."""
    shown = ("id", "kind", "params", "state", "worker", "attempt", "losses", "checkpoint", "result", "error")
    return {**{name: getattr(row, name) for name in shown}, "losses": row.losses or 0}


def _operation(session: Session, key: str, lock: bool = False) -> Operation:
    query = sa.select(Operation).where(Operation.id == key)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFoundError(f"there is no operation {key}")
    return row


def _worker(session: Session, key: str, lock: bool = False) -> Worker:
    query = sa.select(Worker).where(Worker.id == key)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFoundError(f"worker {key} is not registered")
    return row


def _beat(session: Session, worker: str, **facts: Any) -> int | None:
    """Count a beat and set the facts; returns the count, None where the worker is not registered."""
    beat = sa.update(Worker).where(Worker.id == worker).values(beats=Worker.beats + 1, **facts)
    return session.scalar(beat.returning(Worker.beats))


def _requeue(session: Session, whose: sa.ColumnElement[bool]) -> list[str]:
    """Queue the running operations of these workers, with their checkpoints; returns their ids."""
    change = sa.update(Operation).where(Operation.state == State.RUNNING, whose)
    change = change.values(state=State.QUEUED, worker=None)
    return list(session.scalars(change.returning(Operation.id)))


def connect(url: URL, read_only: bool = False) -> sa.Engine:
    """What reaches that database, when it is first used; `read_only` has PostgreSQL and SQLite refuse to write."""
    if url.get_backend_name() != "sqlite":
        # A connection that the database closed while it was away is found and replaced before it is used.
        arguments: dict[str, Any] = dict(NETWORK) if url.get_backend_name() == "postgresql" else {}
        if read_only and arguments:
            arguments["options"] = "-c default_transaction_read_only=on"
        return sa.create_engine(url, pool_pre_ping=True, pool_timeout=CONNECT_SECONDS, connect_args=arguments)
    engine = sa.create_engine(url, connect_args={"timeout": 10})

    # The driver would begin a transaction only at its first write: two readers that then write would collide.
    @sa.event.listens_for(engine, "connect")
    def _manual(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        if read_only:
            connection.execute("PRAGMA query_only = on")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.execute(sa.text("BEGIN" if read_only else "BEGIN IMMEDIATE"))

    return engine
