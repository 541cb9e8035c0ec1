"""The tables, one step after the other: `alembic upgrade head` before the backend of a release starts.

Where a release's steps only add what may be empty, the backend before it runs on. There is no way down but a backup.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy.engine import Connection

CONFIGURATION = Path(__file__).with_name("alembic.ini")
# Alembic's context is one for the whole process.
_ONE_AT_A_TIME = threading.Lock()


def upgrade(connection: Connection) -> None:
    """Bring the database to the tables of this code, in the connection's transaction. Where it has them nothing is done."""
    # Half of a second, which a backend whose job does this need not spend.
    from alembic import command
    from alembic.config import Config

    config = Config(CONFIGURATION)
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")
