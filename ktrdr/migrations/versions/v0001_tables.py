"""Workers and operations. Takes over tables that a backend made by itself, before there were migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = sa.MetaData()
sa.Table(
    "workers",
    TABLES,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("capabilities", sa.JSON, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("draining", sa.Boolean, nullable=False),
    sa.Column("beats", sa.Integer, nullable=False),
)
sa.Table(
    "operations",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(200), unique=True, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("worker", sa.String(200)),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("checkpoint", sa.JSON),
    sa.Column("result", sa.JSON),
    sa.Column("error", sa.Text),
    sa.Column("losses", sa.Integer),
)


def upgrade() -> None:
    """Make what is not there."""
    TABLES.create_all(op.get_bind())
    for table in TABLES.sorted_tables:
        there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table.name)}
        # Only columns that may be empty were ever added.
        for column in table.columns:
            if column.name not in there:
                op.add_column(table.name, sa.Column(column.name, column.type))
