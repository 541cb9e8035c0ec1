"""Fails before it has changed anything."""

revision = "0003"
down_revision = "0002"


def upgrade():
    raise RuntimeError("this step was never going to work")
