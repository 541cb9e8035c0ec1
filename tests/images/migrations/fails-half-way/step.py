"""Drops what nobody can do without, commits that, and fails."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("DROP TABLE operations")
    raise RuntimeError("this step fails half-way")
