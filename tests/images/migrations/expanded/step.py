"""A column that may be empty: the release before this one runs on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("operations", sa.Column("note", sa.Text))
