"""What `alembic` runs on: the connection that it was given, or the database of the settings. All steps are one transaction."""

import logging

import sqlalchemy as sa
from alembic import context
from sqlalchemy.engine import Connection

from ktrdr.api.store import Base, connect
from ktrdr.config import Settings

# Any number, the same in every release: who holds this PostgreSQL lock changes the tables.
LOCK = 5_788_376


def _upgrade(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with connect(Settings().database()).connect() as own:
        _upgrade(own)
else:
    _upgrade(given)
