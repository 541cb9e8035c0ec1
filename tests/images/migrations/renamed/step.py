"""A column with another name: no release before this one can read it. Slow, if told so."""

import os
import time

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.alter_column("operations", "error", new_column_name="reason")
    time.sleep(float(os.environ.get("MIGRATION_SECONDS") or 0))
